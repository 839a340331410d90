// An explanation as the views ask for it; what is in it is said in `page_data.py`.

import { unpackArrays } from "./numbers.js";

export class Explanation {
  static async open(data) {
    return new Explanation(data, await unpackArrays(data.arrays));
  }

  constructor(data, arrays) {
    Object.assign(this, { data, arrays, tokens: data.tokens, config: data.config });
    this.layers = this.config.num_hidden_layers;
    this.heads = this.config.num_attention_heads;
    this.headSize = this.config.hidden_size / this.heads;
    this.modern = this.config.architecture === "modernbert";
    this.masked = new Set(data.masked);
    this.rowOf = new Map(data.worked.map((place, row) => [place, row]));
    this.guesses = "masked_lm.ids" in arrays;
  }

  has(name) {
    return name in this.arrays;
  }

  array(name) {
    return this.arrays[name];
  }

  piece(id) {
    return this.data.vocabulary[id] ?? `#${id}`;
  }

  text(place) {
    return this.tokens[place].text;
  }

  special(place) {
    return this.tokens[place].word === null;
  }

  /** The likeliest pieces at a token, likeliest first. */
  guess(place) {
    const ids = Array.from(this.array("masked_lm.ids").at(place).values);
    const of = (name, index) => this.array(`masked_lm.${name}`).number(place, index);
    return ids.map((id, index) => ({
      piece: this.piece(id),
      probability: of("probabilities", index),
      logit: of("logits", index),
      bias: of("biases", index),
    }));
  }

  /** The same in a model beside it; nothing where it has no masked LM head. */
  guessBeside(index, place) {
    const name = `beside.${index}.masked_lm`;
    if (!this.has(`${name}.ids`)) return [];
    const shares = this.array(`${name}.probabilities`).at(place).values;
    return Array.from(this.array(`${name}.ids`).at(place).values, (id, rank) => ({
      piece: this.piece(id),
      probability: shares[rank],
    }));
  }

  /** The same text with the answer of another model. */
  saying(task) {
    return { data: { texts: this.data.texts, task }, slice: (...place) => this.slice(...place) };
  }

  /** Weights of one row of attention; exact where the row was kept, else from its colours. */
  weights(layer, head, place) {
    if (this.rowOf.has(place)) return this.array("layers.weights").at(layer, head, this.rowOf.get(place)).values;
    return Float32Array.from(this.array("layers.shades").at(layer, head, place).values, (shade) => (shade / 255) ** 2);
  }

  /** A step of a layer at a token. */
  ofLayer(name, layer, place) {
    return this.array(`layers.${name}`).at(layer, place).values;
  }

  /** The words as groups of tokens, in order, with what stood in the text. */
  words() {
    const words = [];
    this.tokens.forEach((token, place) => {
      if (token.word === null) return;
      const word = (words[token.word] ??= { places: [], segment: token.segment, start: token.start, end: token.end });
      word.places.push(place);
      word.end = token.end;
    });
    return words.map((word) => ({ ...word, text: this.slice(word.segment, word.start, word.end) }));
  }

  /** A part of a text, counted in characters as Python counts them. */
  slice(segment, start, end) {
    this.characters ??= this.data.texts.map((text) => Array.from(text));
    return this.characters[segment].slice(start, end).join("");
  }
}
