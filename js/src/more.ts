/**
 * The panels that are loaded when they are first opened: the second module, more.js. To add a tab beneath the picture, name it in
 * `Glance["drawer"]` (core/glance.ts), in `TABS` (panels/ui/tabs.ts) and here.
 */

import { changePanel } from "./panels/drawer/change.ts";
import { channelsPanel } from "./panels/drawer/channels.ts";
import { conceptsPanel } from "./panels/drawer/concepts.ts";
import { evidencePanel } from "./panels/drawer/evidence.ts";
import { examplesPanel } from "./panels/drawer/examples.ts";
import { savePanel } from "./panels/drawer/export.ts";
import { keysPanel } from "./panels/drawer/keys.ts";
import { parametersPanel } from "./panels/drawer/parameters.ts";
import { whatIfPanel } from "./panels/drawer/whatif.ts";
import { galleryPanel } from "./panels/gallery/gallery.ts";
import { guidePanel } from "./panels/guide/guide.ts";
import { linkedPanel } from "./panels/linked/linked.ts";
import { palettePanel } from "./panels/palette/palette.ts";
import { searchPanel } from "./panels/palette/search.ts";
import { detailsPanel } from "./panels/stage/details.ts";
import { differencePanel } from "./panels/stage/difference.ts";
import type { LazyPanel, Panel } from "./panels/ui/dom.ts";

const PANELS: Readonly<Record<LazyPanel, Panel>> = {
  selection: whatIfPanel,
  evidence: evidencePanel,
  change: changePanel,
  channels: channelsPanel,
  concepts: conceptsPanel,
  examples: examplesPanel,
  parameters: parametersPanel,
  save: savePanel,
  keys: keysPanel,
  palette: palettePanel,
  classes: searchPanel,
  difference: differencePanel,
  details: detailsPanel,
  gallery: galleryPanel,
  guide: guidePanel,
  linked: linkedPanel,
};
export default PANELS;
