/**
 * The tabs beneath the picture: name, label, explanation, and the answers that the tab shows, if it shows nothing else. Their contents
 * are in the second module, see more.ts.
 */

import type { Glance } from "../../core/glance.ts";
import type { Answers, State } from "../../core/state.ts";
import type { Context } from "./dom.ts";

export type Tab = Exclude<Glance["drawer"], "">;

export const TABS: readonly (readonly [Tab, string, string, (keyof Answers)?])[] = [
  ["selection", "What if…", "The model's prediction for a part of the picture"],
  ["evidence", "Evidence", "Whether the model supports the map, compared with random maps", "verdict"],
  ["change", "Smallest change", "The smallest part of the picture on which the model's answer depends", "changes"],
  ["channels", "Channels", "The channels of a layer that the class depends on most, and their maps", "channels"],
  ["concepts", "Concepts", "Concepts that the class depends on", "concepts"],
  ["examples", "Like these", "Training images for and against the answer", "examples"],
  ["parameters", "Parameters", "Parameters of this method, and their cost"],
  ["save", "Save", "Save the picture, its numbers, or a Python script"],
  ["keys", "Keys", "Keyboard shortcuts (?)"],
];

/** Whether a tab is on offer: without a model only those that need none, without a kernel only one that has something to show. */
export function isOffered({ spec, shown, link, answers, descriptions }: State, tab: Tab): boolean {
  if (spec.stored) return tab === "save" || tab === "keys";
  if (link !== "packed") return tab !== "examples" || Boolean(spec.index?.[shown.model_index]);
  const kind = TABS.find(([name]) => name === tab)?.[3];
  return kind ? [...answers.values()].some((each) => each[kind]) : tab !== "parameters" || descriptions.size > 0;
}

/** Open a tab in place of the open one; "" closes it. */
export function openTab({ glance, choose }: Context, drawer: Glance["drawer"]): void {
  glance.send({ drawer, tool: "look" });
  choose({ live: drawer === "selection" });
}
