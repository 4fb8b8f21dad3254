/** Draws an answer whose tokens show where they attend. */
import { answer, factsOf } from "./answers.js";
import { meanProfile } from "./profile.js";

/**
 * Draws the tokens of a sample. Pointing at a token draws its profile over the pictures and shows its numbers. Leaving it draws the mean of
 * the anchors.
 *
 * @param options `most`: the connectivity of the full colour. `pictures`: from `overlaidPicture`. `tell`: receives the line of numbers.
 * `clusters`: whether each token shows its cluster.
 * @returns The element, and `rest()`, which draws the mean of the anchors.
 */
export const answerWithProfile = (sample, { most, pictures, tell, clusters = false }) => {
  const { profile, tokens, anchor } = sample;
  const draw = (shares, words) => profile && pictures.forEach((picture) => picture.draw(profile.regions, shares, words));
  let mean;
  const rest = () => {
    if (!profile) return;
    mean ??= { shares: meanProfile(profile, anchor) };
    draw(
      mean.shares,
      mean.shares
        ? `Where the anchors${sample.number === undefined ? "" : ` of sample ${sample.number}`} attend, on average.`
        : "No anchor in this answer.",
    );
  };
  const onToken = (i) => {
    tell(factsOf(sample, i));
    if (profile && i < profile.count) draw(profile.sharesOf(i), `Where ${JSON.stringify(tokens[i])} attends.`);
  };
  return { element: answer(sample, { most, onToken, onLeave: rest, clusters }), rest };
};
