// Elements, icons and figures in words. What comes from the server becomes text or an attribute's value, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** The element with that id. */
export const $ = (id) => document.getElementById(id);

/** A new element: `h("button", {class: "small", "aria-label": "Undo", onclick: undo}, icon("undo"), "Undo")`. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  set(element, properties);
  element.append(...children.filter(isThere));
  return element;
}

const isThere = (child) => child !== null && child !== undefined && child !== false;

/** Puts these, and nothing else, into an element. */
export const fill = (element, ...children) => element.replaceChildren(...children.filter(isThere));

/** Sets attributes and `on…` listeners; false and null take an attribute away. */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element[name] = value;
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

// Lines in a square of 16 pixels.
const ICONS = {
  undo: "M3.5 6.5h6a3.250 3.250 0 0 1 0 6.5h-3M6 3.5l-3 3 3 3",
  redo: "M12.5 6.5h-6a3.250 3.250 0 0 0 0 6.5h3M10 3.5l3 3-3 3",
  light: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7",
  dark: "M13 9.6A5.5 5.5 0 0 1 6.4 3 5.5 5.5 0 1 0 13 9.6Z",
  auto: "M8 2.5a5.5 5.5 0 1 0 0 11ZM8 2.5a5.5 5.5 0 0 1 0 11",
  help: "M6 6.2a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.4M8 12v.1",
  changes: "M8 4.5V8l2.3 1.5M2.6 8a5.4 5.4 0 1 0 1.7-3.9M2.5 2.8v2.4h2.4",
  you: "M8 2.5a2.6 2.6 0 1 0 0 5.2 2.6 2.6 0 0 0 0-5.2ZM3 13.5c.4-2.8 2.2-4.2 5-4.2s4.6 1.4 5 4.2",
  check: "m3.5 8.5 3 3 6-7",
  in: "M8 3.5v9M3.5 8h9",
  out: "M3.5 8h9",
  fit: "M2.5 5V3h2M11.5 3h2v2M13.5 11v2h-2M4.5 13h-2v-2",
};

/** An icon that screen readers leave out. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  set(svg, { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" });
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Seconds from the start of the footage: `0:07`, `12:40`, `1:02:03`; with tenths where asked for. */
export function clock(seconds, tenths = false) {
  if (seconds === null || seconds === undefined) return "?";
  const all = tenths ? Math.round(seconds * 10) / 10 : Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const last = (tenths ? rest.toFixed(1) : String(rest)).padStart(tenths ? 4 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${last}` : `${minutes}:${last}`;
}

/** A share in whole hundredths; never 100 where it isn't 1. */
export const hundredths = (share) => (share === 1 ? 100 : Math.min(99, Math.round(share * 100)));

/** A probability as `97 %`. */
export const percent = (share) => `${hundredths(share)} %`;

/** `1 tracklet`, `2 tracklets`, `3 identities`. */
export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** What an identity is called: its name, else its number. */
export const called = (identity) => identity.name || `Identity ${identity.identity}`;

/** The address of a tracklet's best crop. */
export const cover = (id) => `/cover/${encodeURIComponent(id)}.jpg`;

/** The address of a tracklet's crop `index`, from 0 in time. */
export const crop = (id, index) => `/crop/${encodeURIComponent(id)}/${index}.jpg`;

/** A picture that is loaded when it comes into view. */
export function picture(address, properties = {}) {
  const image = h("img", { loading: "lazy", decoding: "async", alt: "", draggable: "false", ...properties });
  image.src = address;
  return image;
}

/** Addresses of a tracklet's pictures: its best crop, or `many` evenly spaced in time. */
export const addresses = ({ id, crops }, many) =>
  many === 1 ? [cover(id)] : Array.from({ length: many }, (_, k) => crop(id, Math.floor(((k + 0.5) * crops) / many)));

/** A small bar with its figure: how pure or how whole an identity is. */
export function bar(label, share, title) {
  const fill = h("i");
  fill.style.inlineSize = `${share * 100}%`;
  const low = share < 0.8 ? "low" : "";
  return h("span", { class: `bar ${low}`, title: `${title}: ${percent(share)}` },
    h("span", { class: "bar-label" }, label), h("span", { class: "bar-line" }, fill),
    h("span", { class: "bar-figure" }, String(hundredths(share))));
}

/** Both bars of an identity. */
export const bars = (identity) => h("span", { class: "bars" },
  bar("pure", identity.pure, "That all of it is one person"),
  bar("whole", identity.whole, "That it is all of that person"));
