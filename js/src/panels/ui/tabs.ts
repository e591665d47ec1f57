/** The tabs beneath the picture: name, label and explanation. Their contents are in the second module, see more.ts. */

import type { Glance } from "../../core/glance.ts";
import type { Context } from "./dom.ts";

export type Tab = Exclude<Glance["drawer"], "">;

export const TABS: readonly (readonly [Tab, string, string])[] = [
  ["selection", "What if…", "The model's prediction for a part of the picture"],
  ["evidence", "Evidence", "Whether the model supports the map, compared with random maps"],
  ["change", "Smallest change", "The smallest part of the picture on which the model's answer depends"],
  ["channels", "Channels", "The channels of a layer that the class depends on most, and their maps"],
  ["parameters", "Parameters", "Parameters of this method, and their cost"],
  ["save", "Save", "Save the picture, its numbers, or a Python script"],
  ["keys", "Keys", "Keyboard shortcuts (?)"],
];

/** Open a tab in place of the open one; "" closes it. */
export function openTab({ glance, choose }: Context, drawer: Glance["drawer"]): void {
  glance.send({ drawer, tool: "look" });
  choose({ live: drawer === "selection" });
}
