/** Whether the host is dark, followed while it changes. */

import { ended } from "../../core/store.ts";

/** JupyterLab, VS Code, Colab and marimo each say it in their own words; where none speaks, the system decides. */
export function hostIsDark(): boolean {
  const { documentElement: html, body } = document;
  const jupyter = body.getAttribute("data-jp-theme-light");
  if (jupyter !== null) return jupyter === "false";
  for (const element of [body, html]) {
    if (element.matches(".vscode-dark, .vscode-high-contrast:not(.vscode-high-contrast-light), .dark, .dark-theme")) return true;
    if (element.matches(".vscode-light, .vscode-high-contrast-light, .light, .light-theme")) return false;
    const theme = element.getAttribute("theme") ?? element.getAttribute("data-theme");
    if (theme !== null) return theme.includes("dark");
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

export function followTheme(root: HTMLElement, signal: AbortSignal): void {
  const apply = (): void => {
    root.dataset["theme"] = hostIsDark() ? "dark" : "light";
  };
  const observer = new MutationObserver(apply);
  const attributeFilter = ["class", "theme", "data-theme", "data-jp-theme-light"];
  for (const element of [document.body, document.documentElement]) {
    observer.observe(element, { attributes: true, attributeFilter });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply, { signal });
  ended(signal, () => observer.disconnect());
  apply();
}
