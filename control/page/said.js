/** An answer whose tokens show where they looked. */
import { answer, factsOf } from "./answers.js";
import { meanProfile } from "./profile.js";

/**
 * The tokens of a sample. Pointing at one draws its profile over the pictures and tells its numbers; leaving draws the anchors' mean.
 *
 * @param options `most`: the connectivity of the full colour; `pictures`: as of `overlaidPicture`; `tell`: takes the numbers' line; `clusters`: whether each token
 *   shows its own.
 * @returns Its element, and `rest()`, which draws the anchors' mean.
 */
export const saidWithProfile = (sample, { most, pictures, tell, clusters = false }) => {
  const { profile, tokens, anchor } = sample;
  const draw = (shares, words) => profile && pictures.forEach((picture) => picture.draw(profile.regions, shares, words));
  let mean;
  const rest = () => {
    if (!profile) return;
    mean ??= { shares: meanProfile(profile, anchor) };
    draw(
      mean.shares,
      mean.shares
        ? `Where the anchors${sample.number === undefined ? "" : ` of sample ${sample.number}`} looked, on average.`
        : "No anchor in this answer.",
    );
  };
  const look = (i) => {
    tell(factsOf(sample, i));
    if (profile && i < profile.count) draw(profile.sharesOf(i), `Where ${JSON.stringify(tokens[i])} looked.`);
  };
  return { element: answer(sample, { most, look, leave: rest, clusters }), rest };
};
