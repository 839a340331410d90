// Compare: the model beside another of its shape, or itself at another step, on the same tokens: what moved.

import { bar, h, picker, tableOf } from "./draw.js";
import { decimal, percent } from "./numbers.js";
import { drawAnswer } from "./answers.js";
import { drawMovedAttention } from "./compare_attention.js";

const GUESSES_SHOWN = 6; // guesses of each of the two

/** In the live page the view is there before anything is laid beside the model: `x.others` is where it is chosen. */
export function hasBeside(x) {
  return x.data.beside.length > 0 || Boolean(x.others);
}

export function drawCompare(main, x, state, update) {
  if (!x.data.beside.length) return drawChoice(main, x);
  const beside = x.data.beside[state.beside];
  main.replaceChildren(
    h(
      "div",
      { class: "compare" },
      h(
        "section",
        { "aria-labelledby": "says" },
        h("h2", { id: "says" }, "What it says"),
        h(
          "div",
          { class: "pickers" },
          x.others?.draw(),
          (!x.others || x.data.beside.length > 1) &&
            picker(
              "beside",
              "Beside",
              x.data.beside.map((each) => shortName(x, each.model)),
              state.beside,
              (chosen) => update({ beside: chosen, moved: null }),
            ),
          x.guesses &&
            picker(
              "at",
              "At",
              x.tokens.map((token, place) => `${token.text} (W${place + 1})`),
              state.place,
              (place) => update({ place }),
            ),
        ),
        bothAnswers(x, beside),
        bothGuesses(x, state),
      ),
      h(
        "section",
        { "aria-labelledby": "how-far" },
        h("h2", { id: "how-far" }, "How far it moved"),
        ...layerDrift(x, beside),
      ),
      h(
        "section",
        { "aria-labelledby": "elsewhere" },
        h("h2", { id: "elsewhere" }, "Where it looks now"),
        drawMovedAttention(x, state, update, beside, (name) => shortName(x, name)),
      ),
      x.data.beside.length > 1 &&
        h(
          "section",
          { "aria-labelledby": "one-by-one" },
          h("h2", { id: "one-by-one" }, "One by one"),
          everyOther(x, state),
        ),
    ),
  );
}

/** Nothing is beside it yet: what could be. */
function drawChoice(main, x) {
  const asked = x.others.names().length > 0;
  main.replaceChildren(
    h(
      "div",
      { class: "compare" },
      h(
        "section",
        { "aria-labelledby": "says" },
        h("h2", { id: "says" }, "What moved"),
        h("div", { class: "pickers" }, x.others.draw()),
        asked && h("p", { class: "note" }, "The other model reads the sentence too. That takes a moment."),
      ),
    ),
  );
}

/** The last part of a folder's name, where no other model on the page has the same. */
function shortName(x, name) {
  const short = (each) => each.split("/").filter(Boolean).at(-1) ?? each;
  const names = new Set([x.data.model, ...x.data.beside.map((each) => each.model)]);
  return [...names].filter((each) => short(each) === short(name)).length > 1 ? name : short(name);
}

/** What the two say where either was fine-tuned. */
function bothAnswers(x, beside) {
  if (!x.data.task && !beside.task) return null;
  const one = (name, task) =>
    h(
      "div",
      { class: "said" },
      h("h3", {}, name),
      task
        ? drawAnswer(x.saying(task))
        : h("p", { class: "quiet" }, "It was not fine-tuned for this, so it gives no such answer."),
    );
  return h(
    "div",
    { class: "pair" },
    one(shortName(x, beside.model), beside.task),
    one(shortName(x, x.data.model), x.data.task),
  );
}

/** The likeliest WordPieces of both at a token, with what each gives them. */
function bothGuesses(x, state) {
  const now = x.guesses ? x.guess(state.place) : [];
  const was = x.guessBeside(state.beside, state.place);
  if (!now.length && !was.length) return null;
  const name = shortName(x, x.data.beside[state.beside].model);
  const pieces = [
    ...new Set([...was.slice(0, GUESSES_SHOWN), ...now.slice(0, GUESSES_SHOWN)].map((each) => each.piece)),
  ];
  const share = (list, piece) => {
    if (!list.length) return "no masked LM head";
    const found = list.find((each) => each.piece === piece);
    return found
      ? bar(found.probability, percent(found.probability))
      : h("span", { class: "number quiet" }, `under ${percent(list.at(-1).probability)}`);
  };
  const rows = pieces.map((piece) => ({
    mark: piece === now[0]?.piece ? "followed" : "",
    cells: [h("b", {}, piece), share(was, piece), share(now, piece)],
  }));
  const columns = ["piece", { name, number: true }, { name: shortName(x, x.data.model), number: true }];
  return tableOf(`Guesses at ${x.text(state.place)}`, columns, rows);
}

function layerDrift(x, beside) {
  const most = Math.max(...beside.weights.map((each) => each.change)) || 1;
  const moved = (value) => (value === undefined ? "" : percentOf(value));
  const rows = beside.weights.map((room) => {
    const cka = ckaOf(beside, room.name);
    return {
      mark: "",
      cells: [
        room.name,
        bar(room.change / most, percentOf(room.change)),
        moved(room.parts.attention),
        moved(room.parts["feed-forward"]),
        cka === undefined ? "" : bar(cka, decimal(cka)),
      ],
    };
  });
  const number = (name) => ({ name, number: true });
  const columns = ["part", number("weights"), number("attention"), number("feed-forward"), number("alike (CKA)")];
  return [
    h(
      "p",
      {},
      "Weights: the length of what was added to them, as a share of how long they were, ‖",
      h("var", {}, "W"),
      " − ",
      h("var", {}, "W"),
      "′‖ / ‖",
      h("var", {}, "W"),
      "′‖. Alike: linear CKA of the representations after each layer; 1 where the two tell the same tokens apart in the same way.",
    ),
    h(
      "p",
      { class: "quiet" },
      `CKA over ${beside.sample_tokens.toLocaleString("en")} tokens of ${beside.from_sample ? "a sample" : "this sentence"}`,
      beside.sample_tokens < x.config.hidden_size
        ? `, fewer than the ${x.config.hidden_size} values of each: then it is high even for strangers. A larger sample tells more.`
        : ".",
    ),
    tableOf("Layer by layer", columns, rows),
  ];
}

/** The CKA after a room: the embeddings, or a layer. */
function ckaOf(beside, room) {
  if (room === "embeddings") return beside.cka[0];
  return room.startsWith("layer ") ? beside.cka[Number(room.slice(6))] : undefined;
}

function percentOf(value) {
  return value === null ? "∞" : `${(100 * value).toFixed(value < 0.1 ? 2 : 1)}%`;
}

/** All others in their order, as the steps of a run: what each says at the token, and how near it is. */
function everyOther(x, state) {
  const rows = x.data.beside.map((beside, index) => {
    const best = x.guessBeside(index, state.place)[0];
    const layer = beside.weights.filter((each) => each.name.startsWith("layer "));
    const mean = layer.reduce((total, each) => total + each.change, 0) / layer.length;
    const heads = beside.attention.flat();
    return {
      mark: index === state.beside ? "followed" : "",
      cells: [
        shortName(x, beside.model),
        best ? [h("b", {}, best.piece), ` ${percent(best.probability)}`] : "",
        percentOf(mean),
        percentOf(heads.reduce((total, each) => total + each, 0) / heads.length),
        bar(beside.cka.at(-1), decimal(beside.cka.at(-1))),
      ],
    };
  });
  const number = (name) => ({ name, number: true });
  const columns = ["model", "guess", number("layers’ weights"), number("attention"), number("output alike (CKA)")];
  return tableOf(`Each beside ${shortName(x, x.data.model)}, at ${x.text(state.place)}`, columns, rows);
}
