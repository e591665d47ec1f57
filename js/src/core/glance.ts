/** The state of one view: its pointer, zoom, layout and open tab. Python and other views do not see it. */

import type { ChangeKind, ChannelMethod } from "./answers.ts";
import { WHOLE, type Box, type Point, type Viewport } from "./geometry.ts";

export interface Glance {
  /** Position of the pointer in the picture, the same in all cells. */
  readonly point: Point | null;
  /** Whether the pointer is over a linked widget. */
  readonly afar: boolean;
  /** Whether the picture is shown without the map. */
  readonly plain: boolean;
  /** The part of the picture that all cells show. */
  readonly view: Viewport;
  /** All but `grid` show two cells. */
  readonly layout: "grid" | "swipe" | "blink" | "difference";
  /** The cell under the shown one, by `keyOf`. */
  readonly other: string;
  /** The share of the width that the shown cell has in a swipe. */
  readonly divider: number;
  /** Whether blinking is at the other cell. */
  readonly turned: boolean;
  /** The open tab below the picture. */
  readonly drawer: "" | "selection" | "evidence" | "change" | "channels" | "concepts" | "examples" | "parameters" | "save" | "keys";
  /** The picture whose nearest are listed in the gallery. */
  readonly near: number | null;
  /** The open list over the widget: the command palette, or the search of all classes. */
  readonly popup: "" | "palette" | "classes";
  /** The step of the guide that is shown, from 1 on; 0 while it is closed. */
  readonly guide: number;
  /** Why a part of the second module that was opened could not be loaded, as a sentence; empty where it could. */
  readonly unloaded: string;
  /** Whether the host allows the full screen. */
  readonly presentable: boolean;
  /** Which smallest change is shown. */
  readonly change: ChangeKind;
  /** Which channels and concepts are shown: those of a layer, "" for the automatic one; channels by a method. */
  readonly layer: string;
  readonly by: ChannelMethod;
  /** Parts of large pictures at a higher resolution than their copies, from coarse to fine. */
  readonly details: readonly Detail[];
  /** The tool of the pointer on the picture. */
  readonly tool: Tool;
  /** Radius of the brush, as a share of the map's longer side. */
  readonly radius: number;
  /** Whether the tools take away instead of adding. */
  readonly erases: boolean;
}

export interface Detail {
  readonly image: number;
  /** In shares of the picture's width and height. */
  readonly box: Box;
  /** In colour, and in grey. */
  readonly sources: readonly [ImageBitmap, CanvasImageSource];
}

export type Tool = "look" | "regions" | "brush" | "box";

export const FIRST_GLANCE: Glance = {
  point: null, afar: false, plain: false, view: WHOLE, layout: "grid", other: "", divider: 0.5, turned: false, drawer: "", near: null, popup: "", guide: 0, unloaded: "", presentable: false, change: "remove",
  details: [], layer: "", by: "input_x_gradient",
  tool: "look", radius: 0.04, erases: false,
};
