"use strict";
// The report's data: scripts that call register(name, JSON, deflated, in base64), since file:// has no fetch().
const VC = {};

(() => {
  const DATA = "data/";
  const KEPT_CHUNKS = 12;
  const waiting = new Map();
  let stamp = "";

  window.register = (name, packed) => waiting.get(name)?.resolve(packed);

  const bytesOf = (packed) => {
    const binary = atob(packed);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  };

  const broken = (name) => new Error(`${DATA}${name}.js is broken: build the report again`);

  // The JSON text of a data script. Errors say which file is missing or broken.
  VC.loadText = async (name) => {
    const packed = await loadScript(name);
    try {
      const inflated = new Blob([bytesOf(packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
      return await new Response(inflated).text();
    } catch {
      throw broken(name);
    }
  };

  function loadScript(name) {
    if (waiting.has(name)) return waiting.get(name).promise;
    const entry = {};
    entry.promise = new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      const end = (action) => { waiting.delete(name); tag.remove(); action(); };
      entry.resolve = (packed) => end(() => resolve(packed));
      tag.onerror = () => end(() => reject(new Error(`${DATA}${name}.js is missing: build the report again`)));
      tag.onload = () => waiting.has(name) && end(() => reject(broken(name)));
      tag.src = `${DATA}${name}.js${stamp && `?v=${stamp}`}`;
      document.head.append(tag);
    });
    waiting.set(name, entry);
    return entry.promise;
  }

  VC.load = async (name) => {
    const text = await VC.loadText(name);
    try {
      return JSON.parse(text);
    } catch {
      throw broken(name);
    }
  };

  const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array, i4: Int32Array, f4: Float32Array };

  const unpack = (packed) => new ARRAYS[packed.slice(0, 2)](bytesOf(packed.slice(3)).buffer);

  // Columns of all trajectories, the texts they point to, and where each trajectory's chunk is.
  class Index {
    constructor(raw) {
      this.rows = raw.rows;
      this.texts = raw.texts;
      this.problems = raw.problems;
      this.names = raw.chunks.map((chunk) => chunk[0]);
      this.starts = [0];
      for (const [, count] of raw.chunks) this.starts.push(this.starts.at(-1) + count);
      this.places = new Map(this.names.map((name, place) => [name, place]));
      this.column = {};
      for (const name in raw.columns) this.column[name] = unpack(raw.columns[name]);
    }

    chunkOf(row) {
      let low = 0, high = this.names.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (this.starts[middle] <= row) low = middle; else high = middle - 1;
      }
      return low;
    }

    // A name of a trajectory that stays its own while a report grows.
    keyOf(row) {
      const chunk = this.chunkOf(row);
      return `${this.names[chunk]}.${row - this.starts[chunk]}`;
    }

    rowOf(key) {
      const dot = (key || "").lastIndexOf(".");
      const chunk = this.places.get((key || "").slice(0, dot));
      const place = Number((key || "").slice(dot + 1));
      if (chunk === undefined || !(place >= 0 && place < this.starts[chunk + 1] - this.starts[chunk])) return -1;
      return this.starts[chunk] + place;
    }

    text(name, row) { return this.texts[name][this.column[name][row]]; }

    problem(row) {
      const [id, title] = this.problems[this.column.problem[row]];
      return { id, title: title || id };
    }

    members(row) {
      const group = this.column.group, found = [];
      for (let i = 0; i < this.rows; i++) if (group[i] === group[row]) found.push(i);
      return found;
    }
  }

  VC.loadReport = async () => {
    const [site, index] = await Promise.all([VC.load("site"), VC.load("index")]);
    return { site, index: new Index(index) };
  };

  const chunks = new Map();

  // The chunk of a trajectory; the last few stay in memory.
  VC.loadChunk = (name) => {
    const kept = chunks.get(name) || VC.load(name);
    chunks.delete(name);
    chunks.set(name, kept);
    kept.catch(() => chunks.delete(name));
    if (chunks.size > KEPT_CHUNKS) chunks.delete(chunks.keys().next().value);
    return kept;
  };

  VC.loadTrajectory = async (index, row) => {
    const place = index.chunkOf(row);
    const chunk = await VC.loadChunk(index.names[place]);
    const found = chunk.rows[row - index.starts[place]];
    if (!found) throw new Error("this trajectory is no longer in its file: reload the page");
    return { ...found, prompt: chunk.prompts[found.prompt], tests: chunk.tests[found.tests] };
  };

  // Where the page is served (--watch): calls back when the report was built anew.
  VC.watch = (changed) => {
    if (!location.protocol.startsWith("http")) return;
    let known = "";
    const look = async () => {
      stamp = String(Date.now());
      try {
        const version = await VC.load("version");
        if (known && version !== known) { chunks.clear(); await changed(); }
        known = version;
      } catch { /* the server has ended; the page stays as it is */ }
      setTimeout(look, 2000);
    };
    look();
  };
})();
