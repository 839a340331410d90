// Evidence: which words made the prediction.

import { formula, h, picker, sub, tableOf } from "./draw.js";
import { decimal, largest } from "./numbers.js";
import { drawAnswer } from "./answers.js";

const METHODS = [
  { name: "Integrated gradients", key: "integrated" },
  { name: "Gradient × input", key: "gradient_input" },
  { name: "Attention rollout", key: "rollout" },
];

export function hasEvidence(x) {
  return x.data.evidence.length > 0;
}

export function drawEvidence(main, x, state, update) {
  const found = x.data.evidence[state.target];
  const method = METHODS[state.method];
  const shares = method.key === "rollout" ? Array.from(x.array("rollout").at(found.place).values) : found[method.key];
  main.replaceChildren(
    h(
      "div",
      { class: "evidence" },
      h(
        "section",
        { "aria-labelledby": "which-words" },
        h("h2", { id: "which-words" }, "Which words made it"),
        h(
          "div",
          { class: "pickers" },
          x.data.evidence.length > 1 &&
            picker(
              "target",
              "For",
              x.data.evidence.map((each) => each.target),
              state.target,
              (target) => update({ target }),
            ),
          picker(
            "method",
            "By",
            METHODS.map((each) => each.name),
            state.method,
            (chosen) => update({ method: chosen }),
          ),
        ),
        h("p", { class: "quiet" }, `For the ${found.target}.`),
        highlighted(x, shares),
        h(
          "p",
          { class: "key" },
          h("span", { class: "swatch for" }),
          " for it  ",
          h("span", { class: "swatch against" }),
          " against it",
        ),
        told(x, found, method, shares),
        x.data.task && everyShare(x, shares),
      ),
      h(
        "section",
        { "aria-labelledby": "said" },
        h("h2", { id: "said" }, x.data.task ? "What it says" : "Word by word"),
        x.data.task ? drawAnswer(x) : everyShare(x, shares),
      ),
    ),
  );
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
        "The words’ vectors are led from [MASK] to the words themselves in small steps, and at each the slope of the output is taken. So the shares add up to what knowing the words changed:",
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
        "How fast the output would grow if a word’s vector were made longer. Quick, and blind to what lies further off.",
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
      `How much of each token has reached ${x.text(found.place)} through all layers, by attention alone; it asks nothing about the output. The shares sum to 1.`,
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
