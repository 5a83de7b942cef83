"use strict";
// Which trajectories the filters keep, and the histogram of their rewards. All of it on the index alone.
(() => {
  const BINS = 20;

  const codes = (texts, wanted) => {
    const exact = texts.includes(wanted) ? [wanted] : wanted.split(","); // a name may hold a comma
    return new Set(texts.map((text, code) => (exact.some((word) => text === word || (text.startsWith(word) && word === "held-out")) ? code : -1)).filter((code) => code >= 0));
  };

  function range(text) {
    const match = /^\s*(-?\d*\.?\d+)\s*(?:(?:\.\.|-)\s*(-?\d*\.?\d+))?\s*$/.exec(text);
    return match ? [Number(match[1]), Number(match[2] ?? match[1])] : null;
  }

  const TOOL = {
    none: (index, row) => index.column.calls[row] === 0,
    some: (index, row) => index.column.calls[row] > 0,
    many: (index, row) => index.column.calls[row] > 1,
    failed: (index, row) => index.column.successes[row] >= 0 && index.column.successes[row] < index.column.calls[row],
    unknown: (index, row) => index.column.calls[row] < 0,
  };

  // Tests on a row, one for each filter that is set; the one on the reward stands apart, for the histogram.
  function tests(index, params) {
    const { column, texts, problems } = index, found = [];
    if (params.run) { const runs = new Set(params.run.split(",").map(Number)); found.push((row) => runs.has(column.run[row])); }
    for (const name of ["kind", "outcome", "source", "difficulty"]) {
      if (params[name]) { const kept = codes(texts[name], params[name]); found.push((row) => kept.has(column[name][row])); }
    }
    if (params.step) { const kept = range(params.step); if (kept) found.push((row) => column.step[row] >= kept[0] && column.step[row] <= kept[1]); }
    if (params.problem) {
      const words = params.problem.toLowerCase();
      const kept = new Uint8Array(problems.length);
      problems.forEach(([id, title], i) => { kept[i] = id.toLowerCase().includes(words) || title.toLowerCase().includes(words) ? 1 : 0; });
      found.push((row) => kept[column.problem[row]] === 1);
    }
    if (TOOL[params.tool]) found.push((row) => TOOL[params.tool](index, row));
    return found;
  }

  const SORTS = {
    reward: (index) => index.column.reward, calls: (index) => index.column.calls, length: (index) => index.column.length,
    turns: (index) => index.column.turns, step: (index) => index.column.step,
  };
  VC.SORTS = Object.keys(SORTS);

  // matched: null, or 1 for each row in whose text the search has found its words.
  VC.filterRows = (index, params, matched) => {
    const checks = tests(index, params);
    const reward = index.column.reward;
    const before = [];
    rows: for (let row = 0; row < index.rows; row++) {
      for (const check of checks) if (!check(row)) continue rows;
      before.push(row);
    }
    const searched = matched ? before.filter((row) => matched[row]) : before;
    const histogram = VC.histogram(searched, reward);
    const kept = params.reward && /\.\./.test(params.reward) ? params.reward.split("..").map(Number) : null;
    const last = kept && histogram && Math.abs(kept[1] - histogram.high) < 1e-6;
    const rows = kept ? searched.filter((row) => reward[row] >= kept[0] - 1e-6 && (last ? reward[row] <= kept[1] + 1e-6 : reward[row] < kept[1] - 1e-6)) : searched;
    const [name, way] = (params.sort || "").split("-");
    if (SORTS[name]) {
      const values = SORTS[name](index), sign = way === "down" ? -1 : 1;
      const key = (row) => (Number.isNaN(values[row]) ? Infinity : sign * values[row]);
      rows.sort((a, b) => key(a) - key(b) || a - b);
    }
    return { rows: rows === before ? before : rows, candidates: before, histogram };
  };

  VC.histogram = (rows, reward) => {
    let low = Infinity, high = -Infinity, known = 0;
    for (const row of rows) {
      const value = reward[row];
      if (Number.isNaN(value)) continue;
      known++;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (!known) return null;
    if (low >= 0 && high <= 1) { low = 0; high = 1; }
    if (low === high) high = low + 1;
    const bins = new Array(BINS).fill(0), width = (high - low) / BINS;
    for (const row of rows) {
      const value = reward[row];
      if (!Number.isNaN(value)) bins[Math.min(Math.floor((value - low) / width + 1e-6), BINS - 1)]++;
    }
    return { low, high, width, bins, known };
  };
})();
