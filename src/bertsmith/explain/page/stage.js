// BERT's diagram as the stage of the walk: words at the bottom, the guess at the top, a column a token.

import { h, indexed, roving, s, strip } from "./draw.js";
import { percent } from "./numbers.js";

const HEIGHT = 120; // of the picture inside the encoder, in its own units

/** The diagram: parts are buttons to their stop, tokens choose the column that is followed. */
export function drawStage(x, state, update, stops) {
  const stop = stops[state.stop].id;
  const go = (id) => () => update({ stop: stops.findIndex((each) => each.id === id) });
  const reached = (id) => stops.findIndex((each) => each.id === id) <= state.stop;
  const lit = (id) => `part ${stop === id ? "here" : ""} ${reached(id) ? "reached" : ""}`;
  const part = (id, name, content, aside) =>
    h(
      "button",
      { id: `part-${id}`, class: lit(id), onclick: go(id), "aria-current": stop === id ? "step" : null },
      h("span", { class: "part-name" }, name, aside),
      content,
    );
  const columns = widths(x);
  return h(
    "div",
    { class: "stage-scroll", tabindex: "0", role: "region", "aria-label": "The diagram: a column for each token" },
    h(
      "div",
      {
        class: "stage",
        style: { "--columns": columns.map((width) => `${width}fr`).join(" "), "--wide": `${sum(columns)}rem` },
      },
      x.guesses ? headParts(x, state, part, go, stop, reached) : taskParts(x, stops, part),
      outputs(x, state, stop, reached("output")),
      encoder(x, state, stop, part, reached),
      embeddings(x, state, part),
      words(x, state, update),
    ),
  );
}

/** How wide each column is, in rem: as its text needs. */
function widths(x) {
  return x.tokens.map((token) => Math.min(8.5, Math.max(3.1, 1.05 + 0.6 * token.text.length)));
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

function headParts(x, state, part, go, stop, reached) {
  const [best] = x.guess(state.place);
  const shown = reached("guess");
  return [
    h(
      "div",
      { class: "row guess-row" },
      onlyAt(
        x,
        state.place,
        h(
          "button",
          {
            id: "part-guess",
            class: `guess-pill ${stop === "guess" ? "here" : ""}`,
            onclick: go("guess"),
            "aria-current": stop === "guess" ? "step" : null,
          },
          h("span", { class: "unseen" }, "The guess"),
          h("var", {}, "W′", h("sub", {}, state.place + 1)),
          h("b", {}, shown ? best.piece : "?"),
          shown && h("span", { class: "number" }, percent(best.probability)),
        ),
      ),
    ),
    link(x, state, shown),
    part("softmax", "Embedding to vocabulary + softmax"),
    part("classification", "Classification layer: dense + GELU + LayerNorm"),
    link(x, state, reached("classification")),
  ];
}

/** A row in which only the followed column has something. */
function onlyAt(x, place, content) {
  return x.tokens.map((_, each) => h("div", { class: "cell" }, each === place ? content : null));
}

/** The way up from one part to the next. */
function link(x, state, reached) {
  return h(
    "div",
    { class: "row link", "aria-hidden": "true" },
    onlyAt(x, state.place, h("span", { class: reached ? "way reached" : "way" })),
  );
}

function taskParts(x, stops, part) {
  return stops
    .slice(stops.findIndex((stop) => stop.id === "output") + 1)
    .reverse()
    .map((stop) => part(stop.id, stop.name));
}

function outputs(x, state, stop, reached) {
  const cells = x.tokens.map((_, place) =>
    h(
      "div",
      { class: "cell" },
      h(
        "div",
        {
          class: `output ${place === state.place ? "followed" : ""} ${reached ? "reached" : ""} ${stop === "output" ? "here" : ""}`,
        },
        indexed("O", place + 1),
      ),
    ),
  );
  return h("div", { class: "row outputs", "aria-hidden": "true" }, cells);
}

function encoder(x, state, stop, part, reached) {
  const inside = reached("attention") ? attentionLines(x, state) : null;
  const where =
    stop === "attention" || stop === "feed-forward"
      ? `layer ${state.layer + 1} of ${x.layers}${stop === "attention" ? `, head ${state.head + 1}` : ""}`
      : `${x.layers} layers`;
  return h(
    "div",
    { class: "encoder" },
    part("feed-forward", "Feed-forward + LayerNorm"),
    h("div", { class: "beams" }, inside),
    part("attention", "Self-attention", null, h("span", { class: "quiet" }, ` · ${where}`)),
  );
}

/** What the followed token looks at, as beams from below. */
function attentionLines(x, state) {
  const weights = x.weights(state.layer, state.head, state.place);
  const columns = widths(x);
  const middle = (place) => 100 * (sum(columns.slice(0, place)) + columns[place] / 2);
  const beams = Array.from(weights, (weight, place) =>
    s("path", {
      class: "beam",
      "stroke-opacity": Math.sqrt(weight).toFixed(3),
      "stroke-width": (1 + 7 * weight).toFixed(2),
      d: `M ${middle(place)} ${HEIGHT} C ${middle(place)} ${HEIGHT / 2}, ${middle(state.place)} ${HEIGHT / 2}, ${middle(state.place)} 0`,
    }),
  );
  const box = { viewBox: `0 0 ${100 * sum(columns)} ${HEIGHT}`, preserveAspectRatio: "none" };
  return s("svg", { ...box, role: "img", "aria-label": `What ${x.text(state.place)} looks at` }, beams);
}

function embeddings(x, state, part) {
  const kinds = ["word", "segment", "position"].filter((kind) => x.has(`embeddings.${kind}`));
  const cells = x.tokens.map((token, place) =>
    h(
      "span",
      { class: "cell" },
      h(
        "span",
        { class: `embedding ${place === state.place ? "followed" : ""}` },
        kinds.map((kind) => strip(x.array(`embeddings.${kind}`).at(place).values.subarray(0, 8), kind)),
      ),
    ),
  );
  return part(
    "embeddings",
    kinds.length > 1 ? "Embeddings: word + segment + position" : "Embeddings",
    h("span", { class: "row", "aria-hidden": "true" }, cells),
  );
}

function words(x, state, update) {
  const buttons = x.tokens.map((token, place) =>
    h(
      "div",
      { class: "cell" },
      h(
        "button",
        {
          id: `token-${place}`,
          "aria-pressed": place === state.place ? "true" : "false",
          title: `W${place + 1}: ${token.text}`,
          class: `token ${x.masked.has(place) ? "mask" : ""} ${x.special(place) ? "special" : ""}`,
          onclick: () => update({ place }),
        },
        h("span", { class: "token-text" }, token.text),
        indexed("W", place + 1),
      ),
    ),
  );
  roving(
    buttons.map((cell) => cell.firstChild),
    state.place,
  );
  return h("div", { class: "row", role: "group", "aria-label": "Tokens: choose the one to follow" }, buttons);
}

/** Keep the followed column in sight, and the rest where it was. */
export function scrollStage(stage, before, place) {
  stage.scrollLeft = before ?? 0;
  const column = stage.querySelector(`#token-${place}`).parentElement;
  const left = column.offsetLeft,
    right = left + column.offsetWidth;
  if (left < stage.scrollLeft || right > stage.scrollLeft + stage.clientWidth)
    stage.scrollLeft = (left + right - stage.clientWidth) / 2;
}
