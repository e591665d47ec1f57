/**
 * The widget without a notebook. In the address: `size=1024` (of the maps), `dark`, `whole` (the model saw only a part of the
 * picture), `wide=3` (its shape: three times as wide as high; 0.33 for the other way), `pixels=2000` (its longer side), `long` (names), `models=2`, `images=3`, `grid={"methods":["xrai","grad_cam"]}`, `polls` (no pushes, as in Colab), `dead` (no kernel, a snapshot), `mode=heat`, `views=2`.
 */
import PANELS from "../src/more.ts";
import widget from "../src/widget.ts";
import photo from "./chelsea.jpg";
import { createFakeKernel, METHODS } from "./fake-kernel.ts";

const wish = new URLSearchParams(location.search);
if (wish.has("dark")) document.body.classList.add("dark");

const MODELS = ["ResNet-50", "ConvNeXt-T", "ViT-B"];
const IMAGES = ["chelsea", "chelsea, later", "chelsea, asleep", "chelsea at the vet"];
/** The right part of the photo is a square face; `whole` keeps all of it. */
const SQUARE = [92, 0, 300, 300] as const;

async function start(): Promise<void> {
  const bitmap = await createImageBitmap(new Blob([photo.slice()], { type: "image/jpeg" }));
  const whole = wish.has("whole");
  const [x, y, width, height] = SQUARE;
  const models = Number(wish.get("models") ?? 1);
  const images = Number(wish.get("images") ?? 1);
  const size = Number(wish.get("size") ?? 224);
  const wide = Number(wish.get("wide") ?? 1);
  const side = Number(wish.get("pixels") ?? 300);
  const [across, down] = [Math.round(side * Math.min(1, wide)), Math.round(side / Math.max(1, wide))];
  const kernel = createFakeKernel({
    photo: pixelsOf(bitmap, size),
    picture: whole ? photo : await cropped(bitmap, across, down),
    spec: {
      version: 2, title: "Why “tabby cat”?", methods: METHODS, models: MODELS.slice(0, models),
      images: IMAGES.slice(0, images).map((name) => ({ name, size: whole ? [bitmap.height, bitmap.width] : [down, across] })),
      notes: ["The picture was scaled to 0–1, resized to 224 × 224 and normalised.", "The top class was explained, as none was named."],
    },
    place: whole ? [x, y, width, height] : [0, 0, across, down],
    traits: {
      model_index: 0, image_index: 0, grid: JSON.parse(wish.get("grid") ?? "{}") as unknown, gamma: 1, smooth: true, contours: false, scale: "own",
      method: wish.get("method") ?? "xrai", target: 281, mode: wish.get("mode") ?? "area", sign: "auto", keep: 30, threshold: 0, opacity: 0.7,
      colormap: "inferno", region: 0, picked: {}, fill: "blur", change_to: -1, live: wish.has("live"), parameters: {}, _more: () => PANELS,
    },
    onlyPolls: wish.has("polls"),
    dead: wish.has("dead"),
    long: wish.has("long"),
  });
  if (wish.has("dead")) await kernel.store();
  const { initialize, render } = await (widget as () => Promise<{ initialize: Hook; render: Hook }>)();
  const life = new AbortController();
  await initialize({ model: kernel.model, signal: life.signal });
  for (let i = 0; i < Number(wish.get("views") ?? 1); i++) {
    const el = document.body.appendChild(document.createElement("div"));
    await render({ model: kernel.model, el, signal: life.signal });
  }
  Object.assign(window, { playground: { kernel, life } });
}

type Hook = (props: { model: unknown; signal: AbortSignal; el?: HTMLElement }) => Promise<unknown>;

function pixelsOf(bitmap: ImageBitmap, size: number): ImageData {
  const context = Object.assign(document.createElement("canvas"), { width: size, height: size }).getContext("2d");
  if (!context) throw new Error("no canvas");
  context.drawImage(bitmap, ...SQUARE, 0, 0, size, size);
  return context.getImageData(0, 0, size, size);
}

async function cropped(bitmap: ImageBitmap, width: number, height: number): Promise<Uint8Array> {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d")?.drawImage(bitmap, ...SQUARE, 0, 0, width, height);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/jpeg", 0.9));
  return new Uint8Array(await (blob ?? new Blob()).arrayBuffer());
}

void start();
