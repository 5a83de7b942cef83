"use strict";
// The tokens of a trajectory: which were learnt, and how likely the policy held each.
(() => {
  const { html, useState } = htmPreact;
  const AT_FIRST = 3000;

  const shade = (logProb) => (logProb === null || logProb === undefined ? 0 : Math.min(1, -logProb / 4));

  VC.Tokens = ({ found }) => {
    const [whole, setWhole] = useState(false);
    const { tokens, advantage } = found;
    if (!tokens) {
      return html`<p class="note">This run's files hold no tokens, so that learnt and masked tokens and log-probs cannot be shown${advantage === undefined ? ", and no advantage" : ""}.
        The rollouts of a training run hold them with <code>verl_coder.rollout_tokens=true</code>.</p>`;
    }
    const { text, learnt, log_prob: logProbs } = tokens;
    const shown = whole ? text.length : Math.min(text.length, AT_FIRST);
    const trained = learnt ? learnt.reduce((sum, one) => sum + (one ? 1 : 0), 0) : null;
    const known = (logProbs || []).filter((value, i) => value !== null && (!learnt || learnt[i]));
    const mean = known.reduce((sum, value) => sum + value, 0) / (known.length || 1);
    return html`<div>
      <p class="note">${VC.count(text.length, "token")}${trained === null ? "; the file does not say which were learnt" : `, ${trained.toLocaleString("en")} learnt, the others masked`}.
        ${logProbs ? ` Mean log-prob ${VC.show(mean)}; the redder, the less likely.` : " No log-probs in the file."}
        ${advantage !== undefined ? ` Advantage ${VC.show(advantage)} on each learnt token.` : ""}</p>
      <p class="tokens" dir="ltr">${text.slice(0, shown).map((token, i) => html`<span
        class=${learnt && !learnt[i] ? "masked" : "learnt"}
        style=${logProbs && (!learnt || learnt[i]) ? `background:rgb(220 60 40 / ${(shade(logProbs[i]) * 0.7).toFixed(2)})` : ""}
        title=${`token ${i}${learnt ? (learnt[i] ? ", learnt" : ", masked") : ""}${logProbs && logProbs[i] !== null ? `, log-prob ${logProbs[i]}` : ""}`}>${VC.visible(token)}</span>`)}</p>
      ${shown < text.length && html`<button class="link" onClick=${() => setWhole(true)}>show ${VC.count(text.length - shown, "more token")}</button>`}
    </div>`;
  };
})();
