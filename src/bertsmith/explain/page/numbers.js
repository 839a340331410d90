// Arrays as `packing.py` packs them, and numbers as people read them.

const KINDS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

/** An array of any rank; `at` goes into it from the first dimension on, without a copy. */
export class Slab {
  constructor(values, shape) {
    this.values = values;
    this.shape = shape;
  }

  at(...indices) {
    let { values, shape } = this;
    for (const index of indices) {
      const size = values.length / shape[0];
      values = values.subarray(index * size, (index + 1) * size);
      shape = shape.slice(1);
    }
    return new Slab(values, shape);
  }

  /** The one number at an index of every dimension. */
  number(...indices) {
    return this.at(...indices).values[0];
  }
}

/** All arrays of an explanation by name. */
export async function unpackArrays({ table, data }) {
  const deflated = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = await new Response(stream).arrayBuffer();
  const arrays = {};
  for (const [name, { type, shape, offset }] of Object.entries(table)) {
    const count = shape.reduce((product, size) => product * size, 1);
    arrays[name] = new Slab(new KINDS[type](bytes, offset, count), shape);
  }
  return arrays;
}

/** A number with some places after the point, and a real minus. */
export function decimal(value, places = 3) {
  if (!Number.isFinite(value)) return value < 0 ? "−∞" : "∞";
  return value
    .toFixed(places)
    .replace("-", "−")
    .replace(/^−(0\.?0*)$/, "$1");
}

/** A probability. */
export function percent(share) {
  if (share >= 0.9995) return "100%";
  if (share >= 0.1) return `${(100 * share).toFixed(1)}%`;
  return share >= 0.0001 || share === 0 ? `${(100 * share).toFixed(2)}%` : `${(100 * share).toExponential(1)}%`;
}

/** e to a power, as people read it: 20,456, or 4.85 × 10⁸. */
export function powerOfE(exponent) {
  const value = Math.exp(exponent);
  if (value >= 0.01 && value < 1e7)
    return value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 3 : value < 1000 ? 1 : 0 });
  const [digits, tens] = value.toExponential(2).split("e");
  const raised = Array.from(tens.replace("+", ""), (each) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(each)]);
  return `${digits} × 10${raised.join("")}`;
}

/** Terms added up: a minus takes the place of its plus. */
export function plus(...terms) {
  return terms.join(" + ").replaceAll("+ −", "− ");
}

/** A product of two numbers, the second in brackets if it is below zero. */
export function times(one, other) {
  const second = decimal(other);
  return `${decimal(one)} × ${second.startsWith("−") ? `(${second})` : second}`;
}

/** The dot product of two vectors of so many numbers, its first three products written out. */
export function dotProduct(one, other, size) {
  return `${plus(...Array.from(one.subarray(0, 3), (value, index) => times(value, other[index])))} + … (${size} products)`;
}

/** The largest absolute value, to scale colours by. */
export function largest(values) {
  let most = 0;
  for (const value of values) if (Math.abs(value) > most && Number.isFinite(value)) most = Math.abs(value);
  return most || 1;
}

/** Indices by falling value. */
export function byFalling(values) {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a]);
}
