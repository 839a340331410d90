// Evidence: which words made the prediction.

import { formula, h, picker, sub, tableOf } from "./draw.js";
import { decimal, largest } from "./numbers.js";
import { drawAnswer } from "./answers.js";

const METHODS = [
  { name: "Integrated gradients", key: "integrated" },
  { name: "Gradient × input", key: "gradient_input" },
  { name: "Attention rollout", key: "rollout" },
];

/** Evidence that is still sought has its place already, and so has what a fine-tuned model says. */
export function hasEvidence(x) {
  return x.data.evidence.length > 0 || x.data.task !== null || (x.pending && x.masked.size > 0);
}

export function drawEvidence(main, x, state, update) {
  const found = x.data.evidence[state.target];
  const method = METHODS[state.method];
  const shares = found && (method.key === "rollout" ? rolloutOf(x, found) : found[method.key]);
  const words = section("which-words", x.data.task ? "Which words made it" : "Which words made the guess", [
    found ? evidence(x, state, update, { found, method, shares }) : h("p", { class: "note" }, noEvidence(x)),
    found && x.data.task && everyShare(x, shares),
  ]);
  const other = x.data.task
    ? section("said", "What it says", drawAnswer(x))
    : found && section("said", "Word by word", everyShare(x, shares));
  main.replaceChildren(h("div", { class: "evidence" }, x.data.task ? [other, words] : [words, other]));
}

function section(id, name, content) {
  return h("section", { "aria-labelledby": id }, h("h2", { id }, name), content);
}

function rolloutOf(x, found) {
  return Array.from(x.array("rollout").at(found.place).values);
}

function noEvidence(x) {
  if (x.pending) return "The model is read again, some thirty times, to find out. That takes a moment.";
  return x.data.task.name === "tag"
    ? "Nothing is marked, so there is nothing to seek evidence for."
    : "It was not sought.";
}

function evidence(x, state, update, { found, method, shares }) {
  const targets = x.data.evidence.map((each) => each.target);
  const methods = METHODS.map((each) => each.name);
  const key = (name, text) => [h("span", { class: `swatch ${name}` }), ` ${text} `];
  return [
    h(
      "div",
      { class: "pickers" },
      targets.length > 1 && picker("target", "For", targets, state.target, (target) => update({ target })),
      picker("method", "By", methods, state.method, (chosen) => update({ method: chosen })),
    ),
    h("p", { class: "quiet" }, `What is explained: F, the ${found.target}.`),
    highlighted(x, shares),
    h("p", { class: "key" }, key("for", "for it"), " ", key("against", "against it")),
    told(x, found, method, shares),
  ];
}

function highlighted(x, shares) {
  const most = largest(shares);
  return h(
    "p",
    { class: "highlighted", dir: "auto" },
    x.tokens.map((token, place) => [
      place && !token.text.startsWith("##") ? " " : "",
      h(
        "span",
        {
          class: `share ${shares[place] < 0 ? "against" : "for"} ${x.masked.has(place) ? "mask" : ""}`,
          style: { "--share": (Math.abs(shares[place]) / most).toFixed(3) },
          title: decimal(shares[place], 4),
        },
        token.text,
      ),
    ]),
  );
}

function told(x, found, method, shares) {
  const sum = shares.reduce((total, share) => total + share, 0);
  if (method.key === "integrated") {
    return [
      h(
        "p",
        {},
        "The words’ vectors are led from that of [MASK] to their own in small steps, and at each the slope of F is taken. So the shares add up to what knowing the words changed:",
      ),
      formula("Σ shares = ", h("var", {}, "F"), "(sentence) − ", h("var", {}, "F"), "(every word hidden)"),
      h(
        "p",
        { class: "worked" },
        `${decimal(sum)} = ${decimal(found.value)} − ${decimal(found.baseline)}`.replace("− −", "+ "),
        h(
          "span",
          { class: "quiet" },
          `   (${found.points} points; off by ${decimal(sum - (found.value - found.baseline), 4)})`,
        ),
      ),
    ];
  }
  if (method.key === "gradient_input") {
    return [
      h(
        "p",
        {},
        "How fast F would grow if a word’s vector were made longer. Quick, and blind to what lies further off.",
      ),
      formula(
        "share",
        sub("t"),
        " = ∂",
        h("var", {}, "F"),
        "/∂",
        h("var", {}, "E"),
        sub("t"),
        " · ",
        h("var", {}, "E"),
        sub("t"),
      ),
    ];
  }
  return [
    h(
      "p",
      {},
      `How much of each token has reached ${x.text(found.place)} through all layers, by attention alone; it asks nothing about F. The shares sum to 1.`,
    ),
  ];
}

function everyShare(x, shares) {
  const rows = Array.from(shares.keys())
    .sort((a, b) => Math.abs(shares[b]) - Math.abs(shares[a]))
    .slice(0, 16)
    .map((place) => ({
      mark: "",
      cells: [h("b", {}, x.text(place)), decimal(shares[place], 4)],
    }));
  return tableOf("Largest shares", ["token", { name: "share", number: true }], rows);
}
