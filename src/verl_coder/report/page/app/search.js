"use strict";
// A search in the text of trajectories: the chunks go by one after the other, and none stays in memory.
(() => {
  const AT_ONCE = 4;

  const escaped = (words) => JSON.stringify(words).slice(1, -1);

  function inTrajectory(chunk, row, words, prompts) {
    if (prompts[row.prompt] === undefined) {
      prompts[row.prompt] = chunk.prompts[row.prompt].some((piece) => typeof piece[1] === "string" && piece[1].toLowerCase().includes(words));
    }
    return prompts[row.prompt] || row.segments.some((piece) => piece[1].toLowerCase().includes(words) || (piece[3] && piece[3].toLowerCase().includes(words)));
  }

  // Calls told({matched, done, all, finished}) as it goes; returns a function that ends it.
  VC.search = (index, rows, text, told) => {
    const words = text.toLowerCase();
    const matched = new Uint8Array(index.rows);
    const places = [...new Set(rows.map((row) => index.chunkOf(row)))];
    // Only where the words are ASCII does the file hold them as they are, so that it need not be parsed to say no.
    const raw = /^[\x20-\x7e]*$/.test(words) ? escaped(words) : null;
    let ended = false, done = 0, next = 0, missing = 0, lastTold = 0;

    const look = async (place) => {
      const json = await VC.loadText(index.names[place]);
      if (raw && !json.toLowerCase().includes(raw)) return;
      const chunk = JSON.parse(json), prompts = [];
      chunk.rows.forEach((row, i) => { if (inTrajectory(chunk, row, words, prompts)) matched[index.starts[place] + i] = 1; });
    };
    const tell = (finished) => {
      if (ended || (!finished && performance.now() - lastTold < 200)) return;
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
