/** A kernel in the page: answers the protocol of docs/widget-protocol.md with invented maps. */

import type { Cell } from "../src/core/cell.ts";
import { percentiles, regions, smooth, speckle, type Maps } from "./maps.ts";
import { deflated, pack, type Stored } from "./pack.ts";

export interface Options {
  readonly photo: ImageData;
  readonly picture: Uint8Array;
  readonly spec: Readonly<Record<string, unknown>>;
  /** Where maps lie in the picture. */
  readonly place: readonly number[];
  readonly traits: Readonly<Record<string, unknown>>;
  /** Nothing arrives but answers to polls, as in Colab. */
  readonly onlyPolls: boolean;
  /** Nothing arrives at all; the snapshot has to do. */
  readonly dead: boolean;
  /** Classes have names of sixty letters. */
  readonly long: boolean;
}

export const METHODS = [
  { id: "xrai", name: "XRAI", cost: 200, paper: "arXiv:1906.02825", lacks: ["", "", ""] },
  { id: "integrated_gradients", name: "Integrated Gradients", cost: 25, paper: "arXiv:1703.01365", lacks: ["", "", ""] },
  { id: "smooth_grad", name: "SmoothGrad", cost: 25, paper: "arXiv:1706.03825", lacks: ["", "", ""] },
  { id: "guided_ig", name: "Guided IG", cost: 200, paper: "arXiv:2106.09788", lacks: ["", "", ""] },
  { id: "grad_cam", name: "Grad-CAM", cost: 1, paper: "arXiv:1610.02391", lacks: ["", "", ""] },
  { id: "blur_ig", name: "Blur IG", cost: 100, paper: "arXiv:2004.03383", lacks: ["", "", ""] },
  { id: "occlusion", name: "Occlusion", cost: 740, paper: "arXiv:1311.2901", lacks: ["", "", ""] },
  { id: "deep_lift", name: "DeepLIFT", cost: 2, paper: "arXiv:1704.02685", lacks: ["", "", ""] },
  ...["input_x_gradient:Input × Gradient:gradients", "smooth_grad_squared:SmoothGrad²:noise", "var_grad:VarGrad:noise", "expected_gradients:Expected Gradients:paths", "deconvolution:Deconvolution:backward rules", "grad_cam_plus_plus:Grad-CAM++:layers", "layer_cam:LayerCAM:layers", "score_cam:Score-CAM:layers", "rise:RISE:perturbation", "lime:LIME:perturbation"].map((each) => {
    const [id = "", name = "", family = ""] = each.split(":");
    return { id, name, cost: 25, paper: "", family, lacks: ["", ""] };
  }),
  { id: "lrp", name: "LRP", cost: 1, paper: "", lacks: Array<string>(3).fill("LRP needs the layers of a model; this one offers only scores and gradients.") },
] as const;

const CLASSES = [
  { index: 281, label: "tabby cat", probability: 0.91 },
  { index: 282, label: "tiger cat", probability: 0.06 },
  { index: 285, label: "Egyptian cat", probability: 0.02 },
  { index: 287, label: "lynx", probability: 0.01 },
  { index: 283, label: "Persian cat", probability: 0.003 },
] as const;
const OTHERS = ["lion", "tiger", "cheetah", "snow leopard", "red fox", "kit fox", "mouse, <b>computer mouse</b>", "hamster", "teapot"];

type Ask = Cell & { readonly rid: string };
type Fields = Readonly<Record<string, unknown>>;
type Handler = (...args: unknown[]) => void;

export function createFakeKernel(options: Options) {
  const traits: Record<string, unknown> = { ...options.traits, spec: options.spec, _snapshot: null };
  const handlers = new Map<string, Set<Handler>>();
  const sent: Fields[] = [];
  const saved: Fields[] = [];
  const cancelled = new Set<string>();
  let pending: Record<string, unknown> = {};
  let queue: [Fields, readonly Uint8Array[]][] = [];
  let seq = 0;

  const emit = (name: string, ...args: unknown[]): void => handlers.get(name)?.forEach((handler) => handler(...args));
  const later = (delay: number, run: () => void): void => void setTimeout(run, delay);
  const deliver = (message: Fields, buffers: readonly Uint8Array[]): void =>
    emit("msg:custom", message, buffers.map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)));

  /** Sends a message in chunks of 64 kB, so that assembling is always seen at work. */
  const push = (fields: Fields, buffers: ReadonlyMap<string, Uint8Array> = new Map()): void => {
    const CHUNK = 65_536;
    const pieces = [...buffers].flatMap(([name, bytes]) =>
      Array.from({ length: Math.ceil(bytes.length / CHUNK) }, (_, i) => ({ name, offset: i * CHUNK, bytes: bytes.subarray(i * CHUNK, (i + 1) * CHUNK) })));
    const parts = pieces.length > 1 ? pieces.map((piece) => [piece]) : [pieces];
    seq++;
    for (const [i, part] of parts.entries()) {
      const described = part.map(({ name, offset, bytes }) => ({ name, offset, bytes: bytes.length }));
      const message = { ...fields, seq, part: [i, parts.length], pieces: described, buffers: [...buffers.keys()] };
      if (options.onlyPolls) queue.push([message, part.map(({ bytes }) => bytes)]);
      else deliver(message, part.map(({ bytes }) => bytes));
    }
  };

  const compute = ({ rid, method, target, model, image }: Ask): void => {
    if (method === "deep_lift") {
      later(300, () => push({
        op: "error", rid, kind: "Unsupported", message: "DeepLIFT met an operator it has no rule for: aten::grid_sample in layer 'warp'.",
        details: 'Traceback (most recent call last):\n  File "saliency/session/session.py", line 211, in run\n    answer = method(images, self)\nsaliency.errors.Unsupported: no rule for aten::grid_sample',
      }));
      return;
    }
    const rounds = method === "guided_ig" ? 60 : method === "occlusion" ? 200 : 6;
    const round = (i: number): void => {
      if (cancelled.has(rid)) {
        push({ op: "cancelled", rid });
        return;
      }
      if (i > rounds) {
        const { message, buffers } = resultOf(options, { method, target, model, image }, 1, 0.15 * rounds);
        push({ ...message, op: "result", rid }, buffers);
        return;
      }
      push({ op: "progress", rid, done: i, total: rounds, seconds_left: (rounds - i) * 0.12 });
      if (i > 0 && i % 10 === 0) {
        const { message, buffers } = resultOf(options, { method, target, model, image }, i / rounds, 0.1 * i);
        push({ ...message, op: "partial", rid, share: i / rounds }, buffers);
      }
      later(120, () => round(i + 1));
    };
    later(60, () => round(0));
  };

  const classes = CLASSES.map((row) => (options.long ? { ...row, label: `${row.label}, ${"a cat that has a very long name ".repeat(2)}`.slice(0, 60) } : row));
  const answer = (message: Fields): void => {
    const { op, rid, query } = message as { op: string; rid: string; query: string };
    deliver({ op: "accepted", rid }, []);
    if (op === "hello") {
      const { models, images } = options.spec as { models: unknown[]; images: unknown[] };
      for (const image of images.keys()) push({ op: "welcome", rid: image === 0 ? rid : "", image, format: "image/jpeg" }, new Map([["picture", options.picture]]));
      for (const model of models.keys()) for (const image of images.keys()) later(150, () => push({ op: "prediction", model, image, classes }));
    }
    if (op === "compute") compute(message as unknown as Ask);
    if (op === "cancel") cancelled.add(rid);
    if (op === "classes") {
      const rows = [...classes, ...OTHERS.map((label, i) => ({ index: 290 + i, label, probability: 0.001 }))];
      push({ op: "classes", rid, classes: rows.filter(({ label }) => label.includes(query)) });
    }
    const aside = asideOf(message);
    if (aside) later(op === "curve" ? 400 : 60, () => push({ ...aside, op: aside["op"] ?? op, rid }));
    if (op === "configure") {
      const { method, fields } = message as { method: string; fields: Fields };
      const parameters = { ...(traits["parameters"] as Fields), [method]: fields };
      traits["parameters"] = parameters;
      emit("change:parameters");
    }
    if (op === "poll") {
      const news = queue;
      queue = [];
      for (const [one, buffers] of news) deliver(one, buffers);
    }
  };

  const model = {
    get: (name: string) => traits[name],
    set: (name: string, value: unknown) => {
      traits[name] = value;
      pending[name] = value;
    },
    save_changes: () => {
      saved.push(pending);
      pending = {};
    },
    on: (name: string, handler: Handler) => void handlers.set(name, (handlers.get(name) ?? new Set()).add(handler)),
    off: (name: string, handler: Handler) => void handlers.get(name)?.delete(handler),
    send: (message: Fields) => {
      sent.push(message);
      if (!options.dead) later(5, () => answer(message));
    },
  };
  return {
    model,
    sent,
    saved,
    /** Set a trait as Python would. */
    tell: (name: string, value: unknown): void => {
      traits[name] = value;
      emit(`change:${name}`);
    },
    async store(): Promise<void> {
      const picture: Stored = {
        message: { op: "welcome", rid: "", format: "image/jpeg" },
        buffers: new Map([["picture", options.picture]]),
      };
      const prediction: Stored = { message: { op: "prediction", classes: CLASSES }, buffers: new Map() };
      const results = ["xrai", "integrated_gradients"].map((method) => resultOf(options, { method, target: 281, model: 0, image: 0 }, 1, 1.9));
      traits["_snapshot"] = await deflated(pack([picture, prediction, ...results]));
    },
  };
}

/** Answers to what only a panel wants to know. */
function asideOf(message: Fields): Fields | null {
  const { op, keep, picked, method, fields } = message as { op: string; keep: number; picked: { regions?: number[] }; method: string; fields: Fields };
  const rows = (top: number): Fields[] => CLASSES.map((row, i) => ({ ...row, probability: i === 0 ? top : (1 - top) / (i + 1.6) ** 2 }));
  const rises = (share: number): number => 0.05 + 0.86 / (1 + Math.exp(9 - 42 * share));
  switch (op) {
    case "what_if": {
      const area = picked.regions ? picked.regions.length / 49 : keep / 100;
      return { only: rows(rises(area)), without: rows(0.93 - rises(area) * 0.92), area };
    }
    case "curve": {
      const shares = Array.from({ length: 25 }, (_, i) => i / 24);
      return {
        shares, insertion: shares.map(rises), deletion: shares.map((share) => 0.93 - rises(share) * 0.92), insertion_auc: 0.72, deletion_auc: 0.21,
      };
    }
    case "check": {
      const at = Array.from({ length: 17 }, (_, i) => i / 16);
      const least = at.map((share) => 0.93 - rises(1 - share) * 0.02 - share ** 8 * 0.86);
      const measure = (title: string, value: number): Fields => ({
        title, value, low: -0.3, high: 0.3, decides: true, reason: "", advice: "0: no better than a random order. High: the model needs the salient pixels, not the others.",
        curves: [{ name: "most salient first", at, values: at.map((share) => 0.93 - rises(share) * 0.92) }, { name: "least salient first", at, values: least }],
        band: { at, low: at.map((share) => 0.9 * (1 - share) ** 4), high: at.map((share) => 0.95 - 0.9 * share ** 3) },
      });
      return {
        op: "verdict", supported: true, strength: 0.62, label: "cat", percent: true, images: [42, 192, 0], notes: [],
        sentence: "This map is supported: removing its top 20 % lowers 'cat' from 93 % to 4 % (random: 31–94 %).",
        measures: [measure("Symmetric relevance gain", 0.66), measure("ROAD", 0.58)],
      };
    }
    case "describe":
    case "configure": {
      const value = <T>(name: string, otherwise: T): T => (fields[name] as T | undefined) ?? otherwise;
      const steps = { name: "steps", kind: "whole", value: value("steps", 100), default: 100, optional: false, low: 1, high: 10000, choices: null, help: "nodes of each path of Integrated Gradients" };
      const fills = ["blur", "mean", "grey", "noise", "black", "white"];
      const rest = [
        { name: "baseline", kind: "names", value: value("baseline", ["black", "white"]), default: ["black", "white"], optional: false, low: null, high: null, choices: fills, help: "where the paths begin; several are averaged" },
        { name: "algorithm", kind: "choice", value: value("algorithm", "full"), default: "full", optional: false, low: null, high: null, choices: ["full", "fast"], help: "how regions are grown" },
        { name: "area_threshold", kind: "number", value: value("area_threshold", 1), default: 1, optional: false, low: 0, high: 1, choices: null, help: "share of the image after which no more regions are sought" },
        { name: "layer", kind: "text", value: value("layer", null), default: null, optional: true, low: null, high: null, choices: null, help: "name of the layer; the last one with a spatial grid by default" },
        { name: "segments", kind: "fixed", value: "None", default: "None", optional: true, low: null, high: null, choices: null, help: "label maps, or what makes them" },
        { name: "relu", kind: "flag", value: value("relu", true), default: true, optional: false, low: null, high: null, choices: null, help: "cut off what speaks against the target" },
      ];
      return {
        op: op === "describe" ? "described" : "configured", method, fields: [steps, ...rest], cost: 2 * steps.value, seconds: steps.value * 0.02, problem: "",
        about: "Regions of a segmentation, ranked by the attribution they hold (arXiv:1906.02825, algorithm 1).",
        advice: "The first to look at: whole regions are easier to read than pixels.", paper: "arXiv:1906.02825",
        presets: [{ name: "quick", fields: { steps: 25 }, cost: 50 }, { name: "thorough", fields: { steps: 400 }, cost: 800 }],
      };
    }
    case "code":
      return { text: "import saliency\n\nfound = saliency.explain(model, img, saliency.XRAI(), target=281)\n" };
    default:
      return null;
  }
}

function resultOf({ photo, place }: Options, cell: Cell, share: number, seconds: number): Stored {
  const { method, target } = cell;
  const maps = mapsOf(photo, method, (target === 281 ? 0 : 1) + 0.3 * cell.model + 0.2 * cell.image, share);
  const negative = maps.values.some((value) => value < 0);
  const buffers = new Map([
    ["values", bytes(maps.values)],
    ["values_table", bytes(percentiles(maps.values))],
  ]);
  const magnitude = maps.magnitude ?? (negative ? maps.values.map(Math.abs) : null);
  if (magnitude) buffers.set("magnitude", bytes(magnitude)).set("magnitude_table", bytes(percentiles(magnitude)));
  if (maps.step) buffers.set("step", new Uint8Array(maps.step.buffer));
  const label = CLASSES.find(({ index }) => index === target)?.label ?? `class ${target}`;
  const result = {
    ...cell, label, place,
    caption: METHODS.find(({ id }) => id === method)?.name ?? method,
    quality: maps.regions ? `${maps.regions.length} regions` : method === "smooth_grad" ? "25 samples" : method === "grad_cam" ? "stage 4" : "Completeness error 0.4 %",
    shape: [maps.size, maps.size], sign: maps.regions || method === "grad_cam" ? "positive" : "absolute",
    range: [0, 1], score: 9.1, baseline_score: 0.2, gap: 0.004, calls: 200, images: 200, seconds, layer: null,
    notes: ["The logit of the class was explained, not its probability."],
    regions: maps.regions,
  };
  return { message: { op: "result", rid: "", result }, buffers };
}

function mapsOf(photo: ImageData, method: string, turn: number, share: number): Maps {
  if (method === "xrai") return regions(photo, 49, turn);
  if (method === "grad_cam" || method === "occlusion") return smooth(method === "grad_cam" ? 14 : 28, turn);
  return speckle(photo, 7 + method.length, method === "smooth_grad" ? 0.2 : 1 - 0.5 * share, turn);
}

function bytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
