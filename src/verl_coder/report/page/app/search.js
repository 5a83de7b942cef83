"use strict";
// A search in the text of trajectories: the chunks go by one after the other, and none stays in memory.
(() => {
  const AT_ONCE = 2;
  const TOLD_EVERY_MS = 700;

  // A pattern finds words in any case without a copy of the text.
  const pattern = (words, flags) => new RegExp(words.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), flags);

  function inTrajectory(chunk, row, words, prompts) {
    const held = (piece) => words.test(piece[1]) || (piece.length > 3 && words.test(piece[3]));
    prompts[row.prompt] ??= chunk.prompts[row.prompt].some(held);
    return prompts[row.prompt] || row.segments.some(held);
  }

  // Calls told({matched, done, all, finished}) as it goes; returns a function that ends it.
  VC.search = (index, rows, text, told) => {
    const words = pattern(text, /[^\x00-\x7f]/.test(text) ? "iu" : "i");
    const matched = new Uint8Array(index.rows);
    const places = [...new Set(rows.map((row) => index.chunkOf(row)))];
    // Only where the words are ASCII does the file hold them as they are, so that it need not be parsed to say no.
    const raw = /^[\x20-\x7e]*$/.test(text) ? pattern(JSON.stringify(text).slice(1, -1), "i") : null;
    let ended = false, done = 0, next = 0, missing = 0, lastTold = 0;

    const look = async (place) => {
      const json = await VC.loadText(index.names[place]);
      if (raw && !raw.test(json)) return;
      const chunk = JSON.parse(json), prompts = [];
      chunk.rows.forEach((row, i) => { if (inTrajectory(chunk, row, words, prompts)) matched[index.starts[place] + i] = 1; });
    };
    const tell = (finished) => {
      if (ended || (!finished && performance.now() - lastTold < TOLD_EVERY_MS)) return;
      lastTold = performance.now();
      told({ matched, done, all: places.length, missing, finished });
    };
    const worker = async () => {
      while (!ended && next < places.length) {
        try { await look(places[next++]); } catch { missing++; }
        done++;
        tell(false);
      }
    };
    Promise.all(Array.from({ length: AT_ONCE }, worker)).then(() => tell(true));
    return () => { ended = true; };
  };
})();
