"use strict";
// Which pairs there are, in which order: of a manifest (set) and two of its rows.
const thumbs = [];
const thumb = (number) => {
  if (number < 0) return "";
  const chunk = Math.floor(number / record.chunk);
  if (!thumbs[chunk]) thumbs[chunk] = JSON.parse(byId(`thumbs-${chunk}`).textContent);
  return `data:image/webp;base64,${thumbs[chunk][number % record.chunk]}`;
};

const placeOf = (set, at) => {
  const [text, seed, name, unsafe, values] = record.places[set.places[at]];
  return { text: record.texts[text], seed, name, unsafe: unsafe === 1, values };
};

// Where the full picture of a row lies.
const full = (set, row, at) => {
  const name = set.names[row] ? set.names[row][at] : placeOf(set, at).name;
  return `${record.root}/${set.rows[row][4]}/images/${name}.png`;
};

const point = (set, score, row, at) => (set.points[score] ? set.points[score][row][at] : null);

// A minus B in a score; null where one has none.
const apart = (set, score, a, b, at) => {
  const [ours, theirs] = [point(set, score, a, at), point(set, score, b, at)];
  return ours === null || theirs === null ? null : ours - theirs;
};

// By how much A is better than B.
const gain = (set, score, a, b, at) => {
  const found = apart(set, score, a, b, at);
  return found === null ? null : found * (set.scores[score][2] || 1);
};

const ORDERS = {
  prompt: () => null,
  win: (set, s, at) => gain(set, s.score, s.a, s.b, at),
  loss: (set, s, at) => { const x = gain(set, s.score, s.a, s.b, at); return x === null ? null : -x; },
  disagree: (set, s, at) => {
    const [x, y] = [gain(set, s.score, s.a, s.b, at), gain(set, s.second, s.a, s.b, at)];
    return x === null || y === null ? null : -x * y;
  },
};

// The places of a set, as numbers: both rows have a picture, the filter holds; the first of the order first.
const listed = (set, s) => {
  const found = [];
  for (let at = 0; at < set.places.length; at++) {
    if (set.thumbs[s.a][at] < 0 || set.thumbs[s.b][at] < 0) continue;
    if (s.field !== "" && s.value !== "" && record.places[set.places[at]][4][s.field] !== Number(s.value)) continue;
    const by = ORDERS[s.order](set, s, at);
    if (s.order === "disagree" && !(by > 0)) continue;
    found.push([at, by]);
  }
  const rank = ([, by]) => (by === null ? -Infinity : by);
  if (s.order !== "prompt") found.sort((one, other) => (rank(one) === rank(other) ? one[0] - other[0] : rank(other) - rank(one)));
  return found.map(([at]) => at);
};
