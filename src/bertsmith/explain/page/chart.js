// Curves as SVG: axes with units, a legend in words, a line where the reader stands.

import { h, s } from "./draw.js";

const MOST_POINTS = 400; // of a curve; of more, means of neighbours are drawn
const EDGE = { left: 52, right: 10, top: 10, bottom: 34 };

/** A number as short as it can be told. */
export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))} k`;
  if (size >= 1 || size === 0) return String(Number(value.toPrecision(3)));
  const rounded = Number(value.toPrecision(2));
  return size >= 0.001 ? String(rounded) : rounded.toExponential().replace("-", "−");
}

/**
 * A figure with one or more curves.
 *
 * series: { name, points: [[x, y], …], dots, dotted }; at: where the vertical line stands; choose: hears an x clicked on.
 */
export function chart({ id, title, unit, across, series, log = false, at = null, choose = () => {}, small = false }) {
  const drawn = series.filter((each) => each.points.length > 0);
  const name = `${title}${unit ? `, ${unit}` : ""}`;
  const content = drawn.length
    ? [plane({ id, name, across, drawn, log, at, choose, small }), legend(series)]
    : h("p", { class: "quiet" }, "Nothing is written yet.");
  return h("figure", { class: "chart", id }, h("figcaption", {}, h("b", {}, title), unit && ` ${unit}`), content);
}

function plane({ name, across, drawn, log, at, choose, small }) {
  const [width, height] = small ? [330, 210] : [560, 250];
  const points = drawn.flatMap((each) => each.points);
  const x = scale(
    points.map(([place]) => place),
    [EDGE.left, width - EDGE.right],
    { tight: true },
  );
  const y = scale(
    points.map(([, value]) => value),
    [height - EDGE.bottom, EDGE.top],
    { log },
  );
  const picked = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    choose(x.back(((event.clientX - box.left) / box.width) * width));
  };
  const box = {
    viewBox: `0 0 ${width} ${height}`,
    class: "curves",
    role: "img",
    "aria-label": inWords(name, across, drawn),
  };
  return s(
    "svg",
    { ...box, onclick: picked },
    y.ticks.map(({ at: value, text }) => [
      s("line", { class: "rule", x1: EDGE.left, x2: width - EDGE.right, y1: y.to(value), y2: y.to(value) }),
      s("text", { class: "tick", x: EDGE.left - 6, y: y.to(value) + 4, "text-anchor": "end" }, text),
    ]),
    x.ticks.map(({ at: place, text }) =>
      s("text", { class: "tick", x: x.to(place), y: height - 17, "text-anchor": "middle" }, text),
    ),
    s("text", { class: "tick", x: width - EDGE.right, y: height - 3, "text-anchor": "end" }, across),
    at !== null && s("line", { class: "stand", x1: x.to(at), x2: x.to(at), y1: EDGE.top, y2: height - EDGE.bottom }),
    drawn.map((each) => curve(each, x, y)),
  );
}

function curve({ tone, points, dots, dotted }, x, y) {
  const places = thinned(points).map(([place, value]) => [x.to(place).toFixed(1), y.to(value).toFixed(1)]);
  const path = places.map(([left, top], index) => `${index ? "L" : "M"}${left} ${top}`).join("");
  return [
    s("path", { class: `curve tone-${tone} ${dotted ? "dotted" : ""} ${dots ? "" : "fine"}`, d: path }),
    (dots || points.length === 1) &&
      places.map(([left, top]) => s("circle", { class: `dot-mark tone-${tone}`, cx: left, cy: top, r: 2.6 })),
  ];
}

function thinned(points) {
  const step = Math.ceil(points.length / MOST_POINTS);
  if (step === 1) return points;
  const means = [];
  for (let first = 0; first < points.length; first += step) {
    const part = points.slice(first, first + step);
    means.push([0, 1].map((axis) => part.reduce((sum, point) => sum + point[axis], 0) / part.length));
  }
  return means;
}

/** Values to pixels and back, with ticks at round numbers. */
function scale(values, [from, to], { log = false, tight = false } = {}) {
  const some = log ? values.filter((value) => value > 0) : values;
  let low = Infinity,
    high = -Infinity;
  for (const value of some) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (!(low < high))
    [low, high] = log ? [low / 2, low * 2] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  if (!tight && !log)
    [low, high] = [low >= 0 && low < 0.4 * high ? 0 : low - 0.05 * (high - low), high + 0.05 * (high - low)];
  const bent = log ? Math.log : (value) => value;
  const share = (value) => (bent(Math.max(value, log ? low : -Infinity)) - bent(low)) / (bent(high) - bent(low));
  return {
    to: (value) => from + share(value) * (to - from),
    back: (pixel) => low + ((pixel - from) / (to - from)) * (high - low),
    ticks: (log && logTicks(low, high)) || evenTicks(low, high),
  };
}

/** Values at round distances, each with its text: in thousands or millions where the largest is. */
function evenTicks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const [unit, name] = high >= 1e6 ? [1e6, " M"] : high >= 1e4 ? [1e3, " k"] : [1, ""];
  const digits = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  const ticks = [];
  for (let index = Math.ceil(low / step); index * step <= high * (1 + 1e-9); index++) {
    const at = index * step;
    ticks.push({ at, text: digits > 3 ? short(at) : `${(at / unit).toFixed(digits)}${name}`.replace("-", "−") });
  }
  return ticks;
}

/** 1, 2, 5, 10, …; null where too few of them are in sight. */
function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const at of [1, 2, 5].map((each) => each * 10 ** power))
      if (at >= low && at <= high) ticks.push({ at, text: short(at) });
  return ticks.length > 2 ? ticks : null;
}

function legend(series) {
  const sample = ({ tone, dots, dotted }) =>
    s(
      "svg",
      { viewBox: "0 0 28 10", class: "sample", "aria-hidden": "true" },
      s("path", { class: `curve tone-${tone} ${dotted ? "dotted" : ""} ${dots ? "" : "fine"}`, d: "M0 5L28 5" }),
      dots && s("circle", { class: `dot-mark tone-${tone}`, cx: 14, cy: 5, r: 2.6 }),
    );
  return h(
    "ul",
    { class: "chart-legend" },
    series.map((each) => h("li", {}, sample(each), " ", each.name)),
  );
}

function inWords(name, across, drawn) {
  const told = drawn.map(({ name: curveName, points }) => {
    const [[from, first]] = points,
      [to, last] = points.at(-1);
    return points.length > 1
      ? `${curveName}: from ${short(first)} at ${short(from)} to ${short(last)} at ${short(to)}`
      : `${curveName}: ${short(first)} at ${short(from)}`;
  });
  return `${name}, over ${across}. ${told.join(". ")}.`;
}
