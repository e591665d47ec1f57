/** The parameters of the shown method, the cost of a run with them, and presets. */

import { formatImages, formatSeconds } from "../../core/format.ts";
import { shownMethod } from "../../core/lookup.ts";
import type { Described, Failure, ParameterSpec, ParameterValues } from "../../core/result.ts";
import { descriptionKey, type State } from "../../core/state.ts";
import { failureOf } from "../../kernel/commands.ts";
import { button, h, hasFocus, setAttribute, setText, type Context } from "../ui/dom.ts";
import { failureBox } from "../ui/failure.ts";
import { control, type Control } from "./controls.ts";

export function parametersPanel(context: Context): HTMLElement {
  const { glance, commands, watch } = context;
  const heading = h("h3");
  const about = h("p", { class: "slw-muted slw-about" });
  const price = h("strong", { class: "slw-number", "aria-live": "polite" });
  const problem = h("p", { class: "slw-problem", role: "alert", hidden: true });
  const trouble = failureBox(context, "The kernel reported an error");
  const list = h("div", { class: "slw-fields" });
  const presets = h("div", { class: "slw-row slw-presets" });
  let controls: readonly Control[] = [];
  let method = "";

  const say = (text: string): void => {
    setText(problem, text);
    problem.hidden = text === "";
  };
  const values = (): ParameterValues => differing(controls.map((each) => ({ ...each.field, value: each.value() })));
  /** Show the cost while a slider is still held. */
  const propose = latest(trouble.show, async (proposed: ParameterValues) => {
    const description = await commands.request("describe", { method, fields: proposed }).answer;
    setText(price, costText(description));
    say(description.problem);
  });
  const commit = (wanted: ParameterValues): void => {
    commands.request("configure", { method, fields: wanted }).answer.then(() => trouble.show(null), (reason: unknown) => trouble.show(failureOf(reason)));
  };
  const show = (state: State, description: Described): void => {
    const name = shownMethod(state)?.name ?? method;
    setText(heading, name);
    about.replaceChildren(description.about || "", ...(description.advice ? [` ${description.advice}`] : []), ...paperLink(description.paper));
    setText(price, costText(description));
    say(description.problem);
    const focused = controls.find(({ element }) => hasFocus(element))?.field.name;
    controls = description.fields.map((field) => control(context, field, {
      propose: () => propose(values()),
      commit: () => commit(values()),
    }));
    list.replaceChildren(...(controls.length ? controls.map(({ element }) => element) : [h("p", { class: "slw-muted" }, "This method has no parameters.")]));
    if (focused) controls.find(({ field }) => field.name === focused)?.focus();
    showPresets(context, presets, description, commit);
  };
  const load = latest(trouble.show, async (state: State) => {
    method = state.shown.method;
    const fields = state.parameters[method] ?? {};
    const live = state.link === "live";
    const description = live ? await commands.request("describe", { method, fields }).answer : state.descriptions.get(descriptionKey(method, fields));
    if (description) show(state, description);
    else for (const each of [heading, about, price, list]) each.replaceChildren();
    if (!live) readOnly(list, presets);
  });
  watch(
    ({ shown, parameters, link, descriptions }, { drawer }) => [drawer === "parameters", shown.method, parameters, link, descriptions],
    (state) => {
      if (glance.state.drawer === "parameters") load(state);
    },
  );
  const top = h("div", { class: "slw-split" }, heading, price);
  return h("div", { class: "slw-drawer-body slw-parameters" }, top, about, problem, trouble.element, list, presets);
}

/** Presets, and a reset button; the one that was pressed keeps the focus. */
function showPresets(context: Context, row: HTMLElement, { presets, fields }: Described, commit: (wanted: ParameterValues) => void): void {
  const pressed = [...row.children].findIndex((each) => each.matches(":focus"));
  row.replaceChildren(
    ...presets.map((preset) => button(context, { title: formatImages(preset.cost) }, preset.name, () => commit(preset.fields))),
    ...(fields.length ? [button(context, { title: "Back to the first values" }, "reset", () => commit({}))] : []),
  );
  if (pressed >= 0) row.querySelectorAll("button")[pressed]?.focus({ preventScroll: true });
}

/** Without a kernel the parameters are only shown. */
function readOnly(fields: HTMLElement, presets: HTMLElement): void {
  for (const input of fields.querySelectorAll("input, select")) setAttribute(input, "disabled", true);
  presets.replaceChildren(h("p", { class: "slw-muted" }, "Changing parameters needs a running kernel."));
}

function costText({ cost, beyond, seconds }: Described): string {
  const calls = beyond ? `images evaluated: ${beyond}` : `${formatImages(cost)} evaluated`;
  return seconds === null ? calls : `${calls} · ~${formatSeconds(seconds)}`;
}

/** Opened only when it is clicked: nothing is loaded from anywhere. */
function paperLink(paper: string): readonly (Node | string)[] {
  const number = /^arXiv:(\d+\.\d+)/.exec(paper)?.[1];
  if (!number) return paper ? [` ${paper}`] : [];
  return [" ", h("a", { href: `https://arxiv.org/abs/${number}`, target: "_blank", rel: "noopener noreferrer" }, paper)];
}

/** Runs one at a time, and of the calls that arrive meanwhile only the last. `done` gets each failure, or null. */
function latest<T>(done: (failure: Failure | null) => void, run: (value: T) => Promise<void>): (value: T) => void {
  let running = false;
  let next: { readonly value: T } | null = null;
  const go = (value: T): void => {
    if (running) {
      next = { value };
      return;
    }
    running = true;
    run(value).then(() => done(null), (reason: unknown) => done(failureOf(reason))).finally(() => {
      running = false;
      const wanted = next;
      next = null;
      if (wanted) go(wanted.value);
    });
  };
  return go;
}

/** The values that are not the default. */
function differing(fields: readonly ParameterSpec[]): ParameterValues {
  const changed = fields.filter((field) => JSON.stringify(field.value) !== JSON.stringify(field.default));
  return Object.fromEntries(changed.map((field) => [field.name, field.value]));
}
