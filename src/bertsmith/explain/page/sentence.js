// What is asked: the model, its sentences, words to hide; and below it in one line what the model makes of them.

import { verdict } from "./answers.js";
import { h, picker } from "./draw.js";
import { percent } from "./numbers.js";
import { MASK, MaskedText } from "./words.js";

const MOST_WORDS = 150; // that can be clicked on
const MOST_MASKS = 6; // whose guesses are told

const text = (label, first, more = {}) => ({ name: "text", label, first, rows: 2, ...more });
const pair = { name: "pair", label: "Second sentence, if there is one", first: "", rows: 1 };
const FIELDS = {
  words: [text("Sentence", `The patient was given ${MASK}.`), pair],
  encoder: [text("Sentence", "The patient was given a medicine."), pair],
  classify: [text("Text", "The patient has no fever."), pair],
  regress: [text("Text", "The patient has no fever."), { ...pair, first: "The temperature is normal." }],
  tag: [text("Text", "Marie Curie worked in Paris.")],
  answer: [
    { name: "question", label: "Question", first: "Where did she work?", rows: 1 },
    text("Text to find the answer in", "Marie Curie was born in Warsaw. She worked in Paris.", { rows: 4 }),
  ],
  choose: [
    text("Beginning", "The patient was given"),
    { name: "choices", label: "Choices, one a line", first: "a medicine.\na ward.\nthe stairs.", rows: 3 },
  ],
};

/**
 * The form. `changed` hears of each change: whether it was a click, and which character is to be followed.
 *
 * `use` says which model of which is asked, `body` what is sent, `answered` takes what came back.
 */
export function openForm(changed, chose) {
  const kept = {}; // of each kind of model, what was typed
  const models = h("div", { class: "pickers" });
  const fields = h("div", { class: "fields" });
  const said = h("div", { class: "told", "aria-live": "polite" });
  const status = h("div", { class: "status", role: "status" });
  const element = h("section", { class: "ask", "aria-label": "What the model reads" }, models, fields, said, status);
  let kind = null,
    x = null;

  const drawWords = (field, value, place) => {
    const parts = value.parts().slice(0, 2 * MOST_WORDS);
    const focused = document.activeElement?.id;
    const drawn = parts.map((part, index) =>
      part.word
        ? word(`${field.name}-word-${index}`, part, value, kind, () => press(field, value, place, part))
        : part.text,
    );
    place.replaceChildren(...drawn);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };
  const press = (field, value, place, part) => {
    const segment = FIELDS[kind].indexOf(field); // of choices one alone is looked at, which need not be this one
    value.toggle(part, guessAt(x, segment, part.mask));
    place.previousSibling.querySelector("textarea").value = value.text;
    drawWords(field, value, place);
    const follow = field.name === "choices" ? null : { segment, character: value.characters(part.start) };
    changed({ clicked: true, follow });
  };
  const drawField = (field) => {
    const value = kept[kind][field.name];
    const words = h("div", {
      class: "hideable",
      role: "group",
      dir: "auto",
      "aria-label": `Words of “${field.label}”`,
    });
    const typed = (event) => {
      value.edit(event.target.value);
      drawWords(field, value, words);
      changed({ clicked: false });
    };
    const area = { rows: field.rows, id: `ask-${field.name}`, dir: "auto", spellcheck: "false", oninput: typed };
    const label = h("label", { class: "field" }, field.label, h("textarea", area, value.text));
    drawWords(field, value, words);
    return [label, words];
  };

  return {
    element,
    /** Ask one of these models; its kind is its task, "words" if it guesses them, or "encoder". */
    use(cards, chosen) {
      const card = cards[chosen];
      kind = card.task ?? (card.operations.includes("fill") ? "words" : "encoder");
      kept[kind] ??= Object.fromEntries(FIELDS[kind].map(({ name, first }) => [name, new MaskedText(first)]));
      const names = cards.map((each) => each.id);
      models.replaceChildren(...(cards.length > 1 ? [picker("model", "Model", names, chosen, chose)] : []));
      fields.replaceChildren(
        ...FIELDS[kind].map((field) => h("div", {}, drawField(field))),
        h("p", { class: "quiet" }, "Click a word to hide it; click again to show it."),
      );
    },
    /** What is sent; `whole` with every word shown that was hidden here. */
    body({ whole = false } = {}) {
      const values = Object.entries(kept[kind]).map(([name, value]) => [name, whole ? value.whole() : value.text]);
      const body = Object.fromEntries(values.filter(([name, value]) => name !== "pair" || value.trim()));
      if ("choices" in body) body.choices = body.choices.split("\n").filter((line) => line.trim());
      return body;
    },
    answered(found) {
      x = found;
      const hidden = Object.values(kept[kind]).flatMap((value) => value.remembered());
      said.replaceChildren(...(x ? told(x, hidden) : []));
      if (x) status.replaceChildren();
      element.setAttribute("aria-busy", "false");
    },
    busy(whether) {
      element.setAttribute("aria-busy", whether ? "true" : "false");
    },
    /** One line for the reader; with `again` a button that asks once more. */
    say(message, again = null) {
      const button = again && h("button", { class: "step", id: "again", onclick: again }, "Try again");
      status.replaceChildren(message, ...(button ? [" ", button] : []));
      status.classList.toggle("problem", again !== null);
    },
  };
}

function word(id, part, value, kind, press) {
  const masked = part.mask !== null;
  const was = masked ? value.hidden[part.mask] : null;
  const typed = kind === "words" ? `${MASK}: put the guess there` : `${MASK}: take it away`;
  const label = masked ? (was ? `${MASK} hides ${was}: show it` : typed) : `Hide ${part.text}`;
  const pressed = masked ? "true" : "false";
  return h("button", { id, class: "word", "aria-pressed": pressed, "aria-label": label, onclick: press }, part.text);
}

/** The likeliest piece at a [MASK] of a text, as a word; nothing where there was no answer yet. */
function guessAt(x, segment, mask) {
  const places = x ? x.data.masked.filter((place) => x.tokens[place].segment === segment) : [];
  return mask !== null && x?.guesses && mask < places.length ? x.guess(places[mask])[0].piece.replace(/^##/, "") : "";
}

function told(x, hidden) {
  if (x.data.task) return [x.before ? moved(x, hidden) : h("p", {}, h("b", {}, verdict(x.data.task)))];
  if (!x.guesses) return [];
  const masks = x.data.masked.slice(0, MOST_MASKS);
  return masks.map((place, index) =>
    h(
      "p",
      { class: "guesses" },
      h("span", { class: "mask" }, masks.length > 1 ? `${MASK} ${index + 1}` : MASK),
      x
        .guess(place)
        .slice(0, 5)
        .map((guess) => [
          " ",
          h("span", { class: "piece" }, guess.piece, " ", h("span", { class: "number" }, percent(guess.probability))),
        ]),
    ),
  );
}

/** What is said without a word hidden, and with it. */
function moved(x, hidden) {
  return h(
    "p",
    { class: "turn" },
    h("span", { class: "quiet" }, "With every word: "),
    verdict(x.before),
    h("span", { "aria-hidden": "true" }, " → "),
    h("span", { class: "quiet" }, `with ${hidden.map((word) => `“${word}”`).join(", ")} hidden: `),
    h("b", {}, verdict(x.data.task)),
  );
}
