/** How strongly the regions of a picture were looked at, for whoever draws it. */

/** The share of black over what was not looked at at all: black takes light away and leaves the hue. */
export const DARKEST = 0.8;
/** Below so many times an even look no region stands out. */
const EVEN = 1.25;
/** Regions with at least this part of the most are outlined. */
const OUTLINED = 0.5;

/** Frames of a video lie over one another: what they share is one region, with the sum of their shares. */
const merged = (regions, shares) => {
  const all = new Map();
  for (const [r, { visual = 0, left, top, width, height }] of regions.entries()) {
    const key = [visual, left, top, width, height].join(), share = shares[r] ?? 0, known = all.get(key);
    if (known) known.share += share;
    else all.set(key, { visual, left, top, width, height, share });
  }
  return [...all.values()];
};

/** Where a region lies in its picture, in words. */
const placeOf = ({ left, top, width, height }, { right, bottom }) => {
  const third = (at, whole) => Math.min(2, Math.floor(3 * at / whole));
  const row = ["upper", "", "lower"][third(top + height / 2, bottom)], column = ["left", "", "right"][third(left + width / 2, right)];
  return row === column ? "middle" : `${row || "middle"} ${column || "middle"}`;
};

/**
 * A look at a picture, or at several.
 *
 * @param {readonly { visual?: number, left: number, top: number, width: number, height: number }[]} regions In any unit of length.
 * @param {readonly number[]} shares By region, of the token's attention.
 * @returns `regions`: each once, with its `heat`: its share for its area, by the largest, in [0, 1]; `most`: that largest, by that of a look that is the same
 *   everywhere; `even`: whether no region stands out; `place`: where the most is, as "upper left".
 */
export const heatmapOf = (regions, shares) => {
  const all = merged(regions, shares), sum = (of) => all.reduce((total, one) => total + of(one), 0);
  const density = ({ share, width, height }) => width * height > 0 ? share / (width * height) : 0;
  const top = all.reduce((most, one) => Math.max(most, density(one)), 0),
    mean = sum(({ share }) => share) / sum((one) => one.width * one.height);
  const most = top > 0 ? top / mean : 0, place = all.find((one) => density(one) === top);
  const inside = all.filter(({ visual }) => visual === place?.visual);
  const [right, bottom] = [["left", "width"], ["top", "height"]].map(([from, size]) =>
    Math.max(...inside.map((one) => one[from] + one[size]))
  );
  return {
    regions: all.map((one) => ({ ...one, heat: top > 0 ? density(one) / top : 0 })),
    most,
    even: most < EVEN,
    place: place && top > 0 ? placeOf(place, { right, bottom }) : "",
  };
};

/**
 * The border of the regions that were looked at with at least half of the most.
 *
 * @param {readonly { left: number, top: number, width: number, height: number, heat: number }[]} regions Of one picture.
 * @returns {[number, number, number, number][]} Its pieces, each along an axis: x and y of both ends.
 */
export const outlineOf = (regions) => {
  const marks = (from, size) =>
    [...new Set(regions.flatMap((one) => [one[from], one[from] + one[size]]).map((x) => Number(x.toFixed(6))))].sort((a, b) => a - b);
  const xs = marks("left", "width"), ys = marks("top", "height"), hot = regions.filter(({ heat }) => heat >= OUTLINED);
  const inside = (i, j) => {
    const x = (xs[i] + xs[i + 1]) / 2, y = (ys[j] + ys[j + 1]) / 2; // NaN outside
    return hot.some(({ left, top, width, height }) => x > left && x < left + width && y > top && y < top + height);
  };
  /** @type {[number, number, number, number][]} */
  const pieces = [];
  for (const [i, x] of xs.entries()) {
    for (const [j, y] of ys.entries()) {
      if (j + 1 < ys.length && inside(i - 1, j) !== inside(i, j)) pieces.push([x, y, x, ys[j + 1]]);
      if (i + 1 < xs.length && inside(i, j - 1) !== inside(i, j)) pieces.push([x, y, xs[i + 1], y]);
    }
  }
  return pieces;
};
