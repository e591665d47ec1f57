import type { Settings, Spec } from "../src/core/settings.ts";
import PANELS from "../src/more.ts";
import type { Model } from "../src/kernel/traits.ts";

type Handler = (...args: unknown[]) => void;
type Fields = Readonly<Record<string, unknown>>;

export const SPEC: Spec = {
  title: "Why?",
  methods: [
    { id: "xrai", name: "XRAI", cost: 200, paper: "", lacks: [""] },
    { id: "ig", name: "Integrated Gradients", cost: 25, paper: "arXiv:1703.01365", lacks: [""] },
    { id: "lrp", name: "LRP", cost: 1, paper: "", lacks: ["LRP needs layers; this model has none."] },
  ],
  models: ["Net"],
  images: [{ name: "image", size: [20, 20] }],
  notes: ["scaled to 0–1"],
};

export const SETTINGS: Settings = {
  method: "xrai",
  target: 3,
  model_index: 0,
  image_index: 0,
  grid: {},
  mode: "area",
  sign: "auto",
  keep: 30,
  threshold: 0,
  opacity: 0.7,
  colormap: "inferno",
  gamma: 1,
  smooth: true,
  contours: false,
  scale: "own",
  region: 0,
  picked: {},
  fill: "blur",
  change_to: -1,
  live: false,
  gallery: false,
  brushed: [],
};

/** A model that records; `listeners` counts what is still attached. */
export function fakeModel(more: Fields = {}) {
  const traits: Record<string, unknown> = { ...SETTINGS, spec: SPEC, _snapshot: null, _more: () => PANELS, ...more };
  const handlers = new Map<string, Set<Handler>>();
  const saved: Fields[] = [];
  const sent: Fields[] = [];
  const buffers: (readonly ArrayBuffer[])[] = [];
  let pending: Record<string, unknown> = {};
  const emit = (name: string, ...args: unknown[]): void => [...(handlers.get(name) ?? [])].forEach((handler) => handler(...args));
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
    send: (message: Fields, _callbacks?: unknown, files: readonly ArrayBuffer[] = []) => {
      sent.push(message);
      buffers.push(files);
    },
  };
  return {
    model: model as unknown as Model,
    saved,
    sent,
    buffers,
    /** The requests of one kind, first to last. */
    requested: (op: string) => sent.filter((message) => message["op"] === op) as { op: string; rid: string }[],
    /** Set traits as Python does. */
    tell(news: Fields) {
      Object.assign(traits, news);
      for (const name of Object.keys(news)) emit(`change:${name}`);
    },
    /** Say something as the kernel does. */
    say: (message: Fields, buffers: readonly unknown[] = []) => emit("msg:custom", message, buffers),
    get listeners() {
      return [...handlers.values()].reduce((total, set) => total + set.size, 0);
    },
  };
}

export type FakeModel = ReturnType<typeof fakeModel>;
