'use strict';
// The page of `densesiam explore`. A picture is shown once for each encoder; a point of it is asked about, and every encoder answers.

const PAGE = 60; // pictures that are listed at once
const SIDE = 512; // pixels along the shorter side of the large pictures
const THUMB = 128;
const KEYS = 12; // pseudo-categories that are named

const byId = id => document.getElementById(id);
// `wanted` is the picture that was chosen last; `picture` is the one that is shown.
const state = { wanted: 0, picture: 0, point: [0.5, 0.5], layer: 'like', name: '', listed: 0 };
let encoders = [];
let pictures = 0;
let session = '';

/** The answer to a question; null where there is nothing to answer. */
async function ask(path, fields = {}, signal) {
  const answer = await fetch(path + '?' + new URLSearchParams(fields), { signal });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`The program refuses: ${await answer.text()}`);
  return answer.json();
}

/** Tells what went wrong until something else is chosen. */
function tell(error) {
  if (error && error.name === 'AbortError') return;
  const unanswered = error instanceof TypeError ? 'The program does not answer; perhaps it has ended.' : error && error.message;
  byId('trouble').textContent = error ? unanswered : '';
  byId('trouble').hidden = !error;
}

// Pictures of an earlier session that the browser has kept are others.
const source = (picture, side) => `/picture?picture=${picture}&side=${side}&of=${session}`;
const smallest = cosines => cosines.reduce((least, cosine) => Math.min(least, cosine), 1);

// ---- what is shown of an encoder

class Encoder {
  constructor(number, about) {
    this.number = number;
    this.about = about;
    const part = byId('encoder').content.cloneNode(true);
    this.root = part.querySelector('.encoder');
    this.root.dataset.encoder = number;
    this.find = selector => this.root.querySelector(selector);
    this.find('.encoder-name').textContent = about.name;
    this.find('small').textContent = about.name === about.encoder ? about.architecture : `${about.architecture}, ${about.encoder}`;
    byId('encoders').append(part);
    const stage = this.find('.stage');
    stage.addEventListener('click', event => {
      const box = stage.getBoundingClientRect();
      choosePoint([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    });
    stage.addEventListener('keydown', event => this.move(event));
  }

  /** The arrow keys go from cell to cell. */
  move(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || !this.like) return;
    event.preventDefault();
    const { cell, cells, share } = this.like;
    const to = [0, 1].map(side => Math.min(Math.max(cell[side] + step[side], 0), cells[1 - side] - 1));
    choosePoint(middle(to, share), true);
  }

  showPicture() {
    const image = this.find('.stage img');
    image.src = source(state.picture, SIDE);
    const name = byId('picture-name').textContent;
    image.alt = name;
    this.find('.stage').setAttribute('aria-label', `${name}, seen by ${this.about.name}: arrow keys go from cell to cell`);
    this.like = this.layer = null;
    this.find('.mark').hidden = true;
    this.clear();
    this.asked('similar', { picture: state.picture }, answer => {
      list(this.find('.similar'), (answer ? answer.similar : []).map(found => ({ ...found, words: found.cosine.toFixed(2) })));
    });
  }

  showPoint() {
    const [x, y] = state.point;
    this.asked('like', { picture: state.picture, x, y }, like => {
      this.like = like;
      const mark = this.find('.mark');
      mark.hidden = !like;
      list(this.find('.nearest'), like ? like.nearest.map(found => ({ ...found, words: found.cosine.toFixed(2) })) : []);
      if (!like) {
        if (state.layer === 'like') this.clear();
        this.find('.where').textContent = 'This encoder has not seen the picture: it could not be read.';
        return;
      }
      frame(mark, like.cell, like.share);
      const found = like.nearest.length ? `, ${like.nearest[0].cosine.toFixed(2)} elsewhere` : '';
      const least = smallest(like.map).toFixed(2);
      this.find('.where').textContent =
        `column ${like.cell[0] + 1} of ${like.cells[1]}, row ${like.cell[1] + 1} of ${like.cells[0]}: ` +
        `cosines from ${least} in this picture${found}`;
      this.root.dataset.cell = like.cell.join(',');
      this.root.dataset.milliseconds = like.milliseconds;
      this.draw();
    });
  }

  showLayer() {
    this.find('.key').replaceChildren();
    if (state.layer === 'like') return this.draw();
    if (state.layer === 'picture') return this.clear();
    if (state.layer === 'categories' && !this.about.categories) return this.clear();
    const shown = state.layer;
    this.asked(shown, { picture: state.picture }, layer => {
      if (state.layer !== shown) return;
      this.layer = layer;
      if (!layer) return this.clear();
      if (layer.key) this.showKey(layer.key);
      this.draw();
    });
  }

  showKey(key) {
    this.find('.key').replaceChildren(...key.slice(0, KEYS).map(entry => {
      const item = document.createElement('li');
      const chip = document.createElement('i');
      chip.style.background = `rgb(${entry.colour.join(' ')})`;
      item.append(chip, `${entry.name}: ${(100 * entry.share).toFixed(0)} %`);
      return item;
    }));
  }

  /** The layer over the picture, a pixel of the canvas for each cell. */
  draw() {
    const strength = byId('strength').value / 100;
    if (state.layer === 'like' && this.like) {
      const least = smallest(this.like.map);
      // What is unlike grows dark.
      const alike = cosine => (cosine - least) / Math.max(1 - least, 1e-6);
      this.paint(this.like, cell => [0, 0, 0, 255 * strength * (1 - alike(this.like.map[cell]))]);
    } else if (state.layer === 'colours' && this.layer && this.layer.colours) {
      this.paint(this.layer, cell => [...this.layer.colours[cell], 255 * strength]);
    } else if (state.layer === 'categories' && this.layer && this.layer.key) {
      const colours = new Map(this.layer.key.map(entry => [entry.category, entry.colour]));
      this.paint(this.layer, cell => [...colours.get(this.layer.categories[cell]), 255 * strength]);
    }
  }

  paint({ cells: [rows, columns], share = [1 / columns, 1 / rows] }, of) {
    const canvas = this.find('canvas');
    [canvas.width, canvas.height] = [columns, rows];
    canvas.style.width = `${100 * columns * share[0]}%`;
    canvas.style.height = `${100 * rows * share[1]}%`;
    canvas.classList.toggle('sharp', state.layer === 'categories');
    const context = canvas.getContext('2d');
    const image = context.createImageData(columns, rows);
    for (let cell = 0; cell < rows * columns; cell++) image.data.set(of(cell), 4 * cell);
    context.putImageData(image, 0, 0);
  }

  clear() {
    const canvas = this.find('canvas');
    canvas.getContext('2d').clearRect(0, 0, canvas.width, canvas.height);
  }

  /** Asks, and gives up the same question about something else that is not answered yet. */
  asked(path, fields, then) {
    this.questions = this.questions || {};
    if (this.questions[path]) this.questions[path].abort();
    const question = this.questions[path] = new AbortController();
    ask('/' + path, { encoder: this.number, ...fields }, question.signal)
      .then(answer => { if (!question.signal.aborted) then(answer); })
      .catch(tell);
  }
}

const middle = (cell, share) => [0, 1].map(side => Math.min((cell[side] + 0.5) * share[side], 1));

function frame(mark, cell, share) {
  [mark.style.left, mark.style.top] = [0, 1].map(side => `${100 * cell[side] * share[side]}%`);
  [mark.style.width, mark.style.height] = [0, 1].map(side => `${100 * share[side]}%`);
}

/** Thumbnails that are buttons; with a cell, it is framed and becomes the next point. */
function list(place, found, append = false) {
  const items = found.map(({ picture, name, cell, share, cosine, words }) => {
    const item = document.createElement('li');
    const button = document.createElement('button');
    button.type = 'button';
    Object.assign(button.dataset, { picture, ...(cell && { cell: cell.join(',') }), ...(cosine !== undefined && { cosine }) });
    button.title = name;
    const holder = document.createElement('span');
    holder.className = 'picture';
    const image = document.createElement('img');
    Object.assign(image, { loading: 'lazy', alt: name, src: source(picture, THUMB) });
    holder.append(image);
    if (cell) {
      const mark = document.createElement('i');
      mark.className = 'frame';
      frame(mark, cell, share);
      holder.append(mark);
    }
    const text = document.createElement('span');
    text.className = 'words';
    text.textContent = words === undefined ? name : `${words} ${name}`;
    button.append(holder, text);
    button.addEventListener('click', async () => {
      const encoder = encoders.find(one => one.root.contains(button)) || encoders[0];
      await choosePicture(picture, { name, point: cell ? middle(cell, share) : undefined });
      // The list of the button is another one now, and the picture may be far above.
      encoder.find('.stage').focus({ preventScroll: true });
      byId('picture-name').scrollIntoView({ block: 'nearest' });
    });
    item.append(button);
    return item;
  });
  if (append) place.append(...items);
  else place.replaceChildren(...items);
  markCurrent();
}

function markCurrent() {
  for (const button of document.querySelectorAll('#pictures button'))
    button.setAttribute('aria-current', Number(button.dataset.picture) === state.picture);
}

// ---- what is chosen

/** With `replace` the browser does not go back to the point before. */
function choosePoint(point, replace = false) {
  tell(null);
  state.point = point.map(share => Math.min(Math.max(share, 0), 1));
  remember(replace);
  encoders.forEach(encoder => encoder.showPoint());
}

async function choosePicture(picture, { name, point, replace } = {}) {
  state.wanted = picture;
  if (name === undefined) {
    const named = await ask('/pictures', { from: picture, count: 1 }).catch(tell);
    name = named && named.pictures.length ? named.pictures[0].name : '';
  }
  // Another one was chosen meanwhile.
  if (state.wanted !== picture) return;
  state.picture = picture;
  byId('picture-name').textContent = name;
  encoders.forEach(encoder => encoder.showPicture());
  choosePoint(point || state.point, replace);
  encoders.forEach(encoder => encoder.showLayer());
  markCurrent();
}

const step = by => choosePicture((state.wanted + by + pictures) % pictures);
const chance = () => choosePicture(Math.floor(Math.random() * pictures));

/** The address has the picture and the point, so that it can be kept, and the browser can go back. */
function remember(replace) {
  const address = `#${state.picture},${state.point.map(share => share.toFixed(4)).join(',')}`;
  if (location.hash !== address) history[replace ? 'replaceState' : 'pushState'](null, '', address);
}

function chosen() {
  const [picture, x, y] = location.hash.slice(1).split(',').map(Number);
  const known = Number.isInteger(picture) && picture >= 0 && picture < pictures;
  const point = [x, y].every(share => share >= 0 && share <= 1) ? [x, y] : [0.5, 0.5];
  return [known ? picture : 0, point];
}

async function listPictures(more) {
  const from = more ? state.listed : 0;
  const name = state.name;
  const found = await ask('/pictures', { from, count: PAGE, name }).catch(tell);
  if (!found || name !== state.name || (more && from !== state.listed)) return;
  list(byId('pictures'), found.pictures, more);
  state.listed = from + found.pictures.length;
  byId('count').textContent = `${found.all} ${found.all === 1 ? 'picture' : 'pictures'}`;
  byId('more').hidden = state.listed >= found.all;
}

async function begin() {
  const about = await ask('/about');
  [pictures, session] = [about.pictures, about.session];
  byId('about').textContent = `${pictures} pictures.`;
  encoders = about.encoders.map((encoder, number) => new Encoder(number, encoder));
  byId('with-categories').hidden = !about.encoders.some(encoder => encoder.categories);
  byId('previous').addEventListener('click', () => step(-1));
  byId('next').addEventListener('click', () => step(1));
  byId('chance').addEventListener('click', chance);
  byId('more').addEventListener('click', () => listPictures(true));
  byId('name').addEventListener('input', event => { state.name = event.target.value; listPictures(false); });
  byId('strength').addEventListener('input', () => encoders.forEach(encoder => encoder.draw()));
  byId('controls').addEventListener('submit', event => event.preventDefault());
  for (const choice of document.querySelectorAll('input[name=layer]'))
    choice.addEventListener('change', () => { state.layer = choice.value; encoders.forEach(encoder => encoder.showLayer()); });
  document.addEventListener('keydown', event => {
    if (event.repeat || event.target.matches('input[type=search]') || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { n: () => step(1), p: () => step(-1), r: chance }[event.key];
    if (act) act();
  });
  const follow = () => { const [picture, point] = chosen(); choosePicture(picture, { point, replace: true }); };
  addEventListener('popstate', follow);
  follow();
  listPictures(false);
}

begin().catch(tell);
