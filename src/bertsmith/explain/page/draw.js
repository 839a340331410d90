// Elements, and the few pictures that all views share. Text is only ever set as text.

import { decimal, largest } from "./numbers.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element: properties "class", "id", "on…" handlers, "style" as an object, attributes else; then its children. */
export function h(tag, properties = {}, ...children) {
  return furnish(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function s(tag, properties = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), properties, children);
}

function furnish(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export const sub = (text) => h("sub", {}, text);

/** A name with an index, as in O₄. */
export const indexed = (name, index) => h("var", {}, name, sub(index));

/** A line of plain mathematics. */
export const formula = (...parts) => h("p", { class: "formula" }, parts);

/** The first values of a vector as colours: warm above zero, cold below. */
export function strip(values, label, most = largest(values)) {
  const cells = Array.from(values, (value, index) =>
    s("rect", {
      x: index * 8,
      y: 0,
      width: 8,
      height: 16,
      class: value < 0 ? "cold" : "warm",
      "fill-opacity": Math.min(1, Math.abs(value) / most).toFixed(3),
    }),
  );
  const box = { viewBox: `0 0 ${8 * values.length} 16`, preserveAspectRatio: "none" };
  return s(
    "svg",
    { class: "strip", role: "img", "aria-label": label, ...box, style: { "--cells": values.length } },
    cells,
  );
}

/** The first few values of a vector as numbers, and how many there are. */
export function digits(values, size, shown = 4) {
  const numbers = Array.from(values.subarray(0, shown), (value) => decimal(value));
  return h("code", { class: "digits" }, `[${numbers.join(", ")}${size > shown ? ", …" : ""}]`);
}

/** A vector with its name: strip, first numbers, size. */
export function vector(name, values, size, kind = "") {
  const shown = values.length < size ? `first ${values.length} of ${size} numbers` : `${size} numbers`;
  return h(
    "div",
    { class: `vector ${kind}` },
    h("span", { class: "vector-name" }, name),
    strip(values, `${shown} as colours`),
    digits(values, size),
    h("span", { class: "quiet" }, shown),
  );
}

/** A token as it is spoken of in a sentence. */
export const spoken = (x, place) => (x.masked.has(place) || x.special(place) ? x.text(place) : `“${x.text(place)}”`);

/** What has become of the token that is followed: the thread from stop to stop. */
export function soFar(x, place, ...words) {
  const name = h("b", { class: x.masked.has(place) ? "mask" : null }, spoken(x, place));
  return h("p", { class: "so-far" }, h("span", { class: "so-far-name" }, "So far at ", name, ": "), words);
}

/** A bar of a share of one, with the share beside it. */
export function bar(share, text) {
  return h(
    "span",
    { class: "bar" },
    h(
      "span",
      { class: "bar-track", "aria-hidden": "true" },
      h("span", { class: "bar-fill", style: { width: `${(100 * Math.min(1, share)).toFixed(2)}%` } }),
    ),
    h("span", { class: "number" }, text),
  );
}

/** A table; `columns` are headings, or { name, number: true } for numbers. */
export function tableOf(caption, columns, rows) {
  const heads = columns.map((column) =>
    h("th", { scope: "col", class: column.number ? "number" : null }, column.name ?? column),
  );
  const lines = rows.map(({ cells, mark }) =>
    h(
      "tr",
      { class: mark || null },
      cells.map((cell, index) =>
        index === 0
          ? h("th", { scope: "row" }, cell)
          : h("td", { class: columns[index].number ? "number" : null }, cell),
      ),
    ),
  );
  return h(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, lines)),
  );
}

/** A matrix of shades, 0 … 255, as a picture of a pixel a value. */
export function shadeCanvas(shades, rows, columns) {
  const canvas = h("canvas", { width: columns, height: rows, "aria-hidden": "true" });
  const [red, green, blue] = getComputedStyle(document.documentElement).getPropertyValue("--heat").trim().split(" ");
  const context = canvas.getContext("2d");
  const picture = context.createImageData(columns, rows);
  const pixels = new Uint32Array(picture.data.buffer); // alpha, blue, green, red
  const colour = (Number(blue) << 16) | (Number(green) << 8) | Number(red);
  for (let index = 0; index < shades.length; index++) pixels[index] = (shades[index] << 24) | colour;
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** A choice among a few, as a list to pick from. */
export function picker(id, label, options, chosen, choose) {
  const select = h(
    "select",
    { id, onchange: (event) => choose(Number(event.target.value)) },
    options.map((text, value) => h("option", { value, selected: value === chosen }, text)),
  );
  return h("label", { class: "picker", for: id }, label, select);
}

/** A row of buttons of which the arrow keys reach the next one; only the chosen one is a stop of the Tab key. */
export function roving(buttons, chosen, perRow = 1) {
  buttons.forEach((button, index) => {
    button.tabIndex = index === chosen ? 0 : -1;
    button.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow, ArrowUp: -perRow };
      const jumps = { Home: 0, End: buttons.length - 1 };
      const next = event.key in jumps ? jumps[event.key] : index + (steps[event.key] ?? NaN);
      if (!(next >= 0 && next < buttons.length)) return;
      if (perRow === 1 && (event.key === "ArrowUp" || event.key === "ArrowDown")) return;
      event.preventDefault();
      event.stopPropagation();
      buttons[next].focus();
    });
  });
  return buttons;
}
