// Colours as the system has them, light, or dark; remembered in this browser.
import { set } from "./dom.js";

const MODES = { auto: "as the system", light: "light", dark: "dark" };

export const theme = () => (localStorage.getItem("theme") in MODES ? localStorage.getItem("theme") : "auto");
export const themeInWords = () => `Colours: ${MODES[theme()]}`;

export function applyTheme() {
  set(document.documentElement, { "data-theme": theme() === "auto" ? null : theme() });
}

export function nextTheme() {
  const modes = Object.keys(MODES);
  localStorage.setItem("theme", modes[(modes.indexOf(theme()) + 1) % modes.length]);
  applyTheme();
}
