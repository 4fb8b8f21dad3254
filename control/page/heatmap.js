/** Computes heat maps: how strongly tokens attend to the regions of a picture. */

/** The opacity of black over regions without attention. Black removes light and keeps the hue. */
export const DARKEST = 0.8;
/** If the maximum is below this multiple of uniform attention, no region stands out. */
const EVEN = 1.25;
/** Regions with at least this fraction of the maximum are outlined. */
const OUTLINED = 0.5;

/** Merges regions with the same rectangle, such as those of a video's frames. The merged region has the sum of their shares. */
const merged = (regions, shares) => {
  const all = new Map();
  for (const [r, { visual = 0, left, top, width, height }] of regions.entries()) {
    const key = [visual, left, top, width, height].join(), share = shares[r] ?? 0, before = all.get(key);
    if (before) before.share += share;
    else all.set(key, { visual, left, top, width, height, share });
  }
  return [...all.values()];
};

/** Describes where a region lies in its picture. */
const positionOf = ({ left, top, width, height }, { right, bottom }) => {
  const third = (at, whole) => Math.min(2, Math.floor(3 * at / whole));
  const row = ["upper", "", "lower"][third(top + height / 2, bottom)], column = ["left", "", "right"][third(left + width / 2, right)];
  return row === column ? "middle" : `${row || "middle"} ${column || "middle"}`;
};

/**
 * Computes the heat map of one or several pictures.
 *
 * @param {readonly { visual?: number, left: number, top: number, width: number, height: number }[]} regions In any unit of length.
 * @param {readonly number[]} shares For each region its share of the token's attention.
 * @returns `regions`: each region once, with its `heat` in [0, 1], which is its share per area divided by the largest share per area.
 * `most`: the largest share per area as a multiple of uniform attention. `uniform`: whether no region stands out. `position`: where the
 * maximum is, such as "upper left".
 */
export const heatmapOf = (regions, shares) => {
  const all = merged(regions, shares), sum = (of) => all.reduce((total, one) => total + of(one), 0);
  const density = ({ share, width, height }) => width * height > 0 ? share / (width * height) : 0;
  const top = all.reduce((most, one) => Math.max(most, density(one)), 0),
    mean = sum(({ share }) => share) / sum((one) => one.width * one.height);
  const most = top > 0 ? top / mean : 0, position = all.find((one) => density(one) === top);
  const inside = all.filter(({ visual }) => visual === position?.visual);
  const [right, bottom] = [["left", "width"], ["top", "height"]].map(([from, size]) =>
    Math.max(...inside.map((one) => one[from] + one[size]))
  );
  return {
    regions: all.map((one) => ({ ...one, heat: top > 0 ? density(one) / top : 0 })),
    most,
    uniform: most < EVEN,
    position: position && top > 0 ? positionOf(position, { right, bottom }) : "",
  };
};

/**
 * Returns the outline of the regions with at least half of the maximum.
 *
 * @param {readonly { left: number, top: number, width: number, height: number, heat: number }[]} regions Regions of one picture.
 * @returns {[number, number, number, number][]} Horizontal and vertical line segments: x and y of both ends.
 */
export const outlineOf = (regions) => {
  const marks = (from, size) =>
    [...new Set(regions.flatMap((one) => [one[from], one[from] + one[size]]).map((x) => Number(x.toFixed(6))))].sort((a, b) => a - b);
  const xs = marks("left", "width"), ys = marks("top", "height"), hot = regions.filter(({ heat }) => heat >= OUTLINED);
  const inside = (i, j) => {
    const x = (xs[i] + xs[i + 1]) / 2, y = (ys[j] + ys[j + 1]) / 2; // NaN outside the grid
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
