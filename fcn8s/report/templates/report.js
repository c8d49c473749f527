'use strict';
(function () {
  const data = JSON.parse(document.getElementById('data').textContent);

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties || {});
    element.append(...children);
    return element;
  }

  function percent(share, digits) {
    return share === null || share === undefined ? '–' : (100 * share).toFixed(digits === undefined ? 1 : digits) + ' %';
  }

  // Tables: a click on a heading sorts by that column, numbers from the largest, names from A; again turns it round.
  function sort(table, column, heading) {
    const ascending = heading.getAttribute('aria-sort') === 'descending' ||
      (heading.getAttribute('aria-sort') !== 'ascending' && heading.dataset.kind === 'text');
    table.querySelectorAll('th[aria-sort]').forEach((other) => other.removeAttribute('aria-sort'));
    heading.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
    const key = (row) => row.cells[column].dataset.value;
    const compare = heading.dataset.kind === 'text'
      ? (a, b) => key(a).localeCompare(key(b))
      : (a, b) => parseFloat(key(a)) - parseFloat(key(b));
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    const known = rows.filter((row) => key(row) !== '').sort((a, b) => (ascending ? 1 : -1) * compare(a, b));
    body.append(...known, ...rows.filter((row) => key(row) === ''));
  }
  document.querySelectorAll('table.sortable').forEach((table) => {
    Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
      const button = heading.querySelector('button');
      if (button) button.addEventListener('click', () => sort(table, column, heading));
    });
  });

  if (!data.images) return;

  function picture(source, alternative) {
    return make('img', { src: 'data:image/webp;base64,' + source, alt: alternative, decoding: 'async' });
  }

  // Pictures of classes, and swatches, have the colours of the dataset, or others that everybody can tell apart.
  const number = (color) => parseInt(color.slice(1), 16);
  const others = new Map(data.scored.map((id) => [number(data.colors[id]), number(data.distinct[id])]));
  const distinct = document.getElementById('distinct');
  const isDistinct = () => distinct.getAttribute('aria-pressed') === 'true';

  function recolored(image) {
    const canvas = make('canvas', { width: image.naturalWidth, height: image.naturalHeight });
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const other = others.get(pixels.data[i] << 16 | pixels.data[i + 1] << 8 | pixels.data[i + 2]);
      if (other !== undefined) pixels.data.set([other >> 16, other >> 8 & 255, other & 255], i);
    }
    context.putImageData(pixels, 0, 0);
    return canvas.toDataURL();
  }

  function paint(shown) {
    if (!isDistinct()) { shown.src = shown.dataset.own; return; }
    const own = make('img', { src: shown.dataset.own });
    own.decode().then(() => { if (isDistinct()) shown.src = recolored(own); });
  }

  function classPicture(source, alternative) {
    const shown = picture(source, alternative);
    shown.dataset.own = shown.src;
    if (isDistinct()) paint(shown);
    return shown;
  }

  const swatches = Array.from(document.querySelectorAll('.swatch:not(.fixed)'), (swatch) => {
    const [red, green, blue] = getComputedStyle(swatch).backgroundColor.match(/\d+/g).map(Number);
    return [swatch, swatch.style.background, others.get(red << 16 | green << 8 | blue)];
  });
  distinct.hidden = Array.from(others).every(([own, other]) => own === other);
  distinct.addEventListener('click', () => {
    distinct.setAttribute('aria-pressed', String(!isDistinct()));
    swatches.forEach(([swatch, own, other]) => {
      swatch.style.background = isDistinct() && other !== undefined ? '#' + other.toString(16).padStart(6, '0') : own;
    });
    document.querySelectorAll('img[data-own]').forEach(paint);
  });

  function figure(name, ...content) {
    return make('figure', {}, ...content, make('figcaption', {}, name));
  }

  function compared(pictures) {
    const stack = make('div', { className: 'stack' }, classPicture(pictures[2], 'prediction'), classPicture(pictures[1], 'truth'), make('i', { hidden: true }));
    const slider = make('input', { type: 'range', min: 0, max: 100, value: 0 });
    slider.setAttribute('aria-label', 'how much of the truth lies over the prediction');
    slider.addEventListener('input', () => {
      stack.style.setProperty('--share', slider.value + '%');
      stack.lastChild.hidden = slider.value === '0';
    });
    return [stack, slider];
  }

  // text: what the card says below the name. box: [top, left, bottom, right] as shares, to be marked.
  function card(number, text, box) {
    const image = data.images[number];
    const pictures = data.pictures[number];
    const made = make('article', { className: 'card' }, make('h3', { title: image.path }, image.name), make('p', {}, text));
    if (!pictures) {
      made.append(make('p', {}, 'No picture: this report has reached its size.'));
      return made;
    }
    const photo = make('div', { className: 'stack' }, picture(pictures[0], 'image'));
    if (box) {
      const mark = make('div', { className: 'mark' });
      Object.assign(mark.style, { top: 100 * box[0] + '%', left: 100 * box[1] + '%',
        height: 100 * (box[2] - box[0]) + '%', width: 100 * (box[3] - box[1]) + '%' });
      photo.append(mark);
    }
    const grid = make('div', { className: 'pictures' }, figure('image', photo), figure('truth', classPicture(pictures[1], 'truth')),
      figure(make('span', {}, 'prediction', make('span', { className: 'hint' }, ', and the truth over it')), ...compared(pictures)));
    if (pictures[4]) grid.append(figure('prediction of the other model', classPicture(pictures[4], 'prediction of the other model')));
    grid.append(figure('wrong pixels', picture(pictures[3], 'wrong pixels')));
    made.append(grid);
    return made;
  }

  function describe(number) {
    const image = data.images[number];
    let text = 'mean IoU ' + percent(image.iou) + ', accuracy ' + percent(image.accuracy);
    if (image.confusion) text += '; costs most: ' + className(image.confusion[0]) + ' taken for ' + className(image.confusion[1]);
    if (image.other !== null) text += '; the other model: mean IoU ' + percent(image.other);
    return text;
  }

  function className(id) {
    return id < data.classes.length ? data.classes[id] : 'ignored';
  }

  function show(place, cards) {
    place.replaceChildren(...(cards.length ? cards : [make('p', {}, 'There is none.')]));
  }

  // Worst and best
  const chooser = document.getElementById('gallery-class');
  chooser.append(make('option', { value: 'all' }, 'all classes'));
  data.scored.forEach((id) => chooser.append(make('option', { value: String(id) }, data.classes[id])));
  const sides = Array.from(document.querySelectorAll('#gallery-sides button'));
  function gallery(side) {
    sides.forEach((button) => button.setAttribute('aria-pressed', String(button.value === side)));
    show(document.getElementById('gallery'), data.galleries[chooser.value][side].map((number) => card(number, describe(number))));
  }
  const pressed = () => sides.find((button) => button.getAttribute('aria-pressed') === 'true').value;
  sides.forEach((button) => button.addEventListener('click', () => gallery(button.value)));
  chooser.addEventListener('change', () => gallery(pressed()));
  gallery('worst');

  // The confusion matrix: rows are the truth, in per cent of its pixels; right in blue, wrong in orange
  function shade(share, right) {
    const end = right ? [0, 82, 140] : [190, 72, 0];
    const strength = Math.pow(share, 0.6);
    return 'rgb(' + end.map((channel) => Math.round(255 + (channel - 255) * strength)).join(',') + ')';
  }
  function fillMatrix() {
    const table = document.getElementById('matrix');
    // Classes that neither truth nor prediction hold would be empty rows and columns.
    const total = (id) => data.matrix.reduce((sum, row, truth) => sum + row[id] + (truth === id ? row.reduce((a, b) => a + b, 0) : 0), 0);
    const columns = data.classes.map((_, id) => id).filter((id) => total(id) > 0);
    const dense = columns.length > 40;
    table.classList.toggle('dense', dense);
    table.append(make('thead', {}, make('tr', {}, make('th'), ...columns.map((id) =>
      make('th', { title: data.classes[id] }, make('span', {}, data.classes[id]))))));
    const body = make('tbody');
    data.scored.filter((id) => columns.includes(id)).forEach((truth) => {
      const row = data.matrix[truth];
      const sum = row.reduce((total, pixels) => total + pixels, 0);
      const cells = columns.map((id) => {
        const share = sum ? row[id] / sum : 0;
        const text = dense || !sum || share < 0.0005 ? '' : (100 * share).toFixed(share < 0.0995 ? 1 : 0);
        const button = make('button', { type: 'button', title: data.classes[truth] + ' taken for ' + data.classes[id] + ': ' + percent(share, 2) + ', ' + row[id] + ' pixels' }, text);
        button.style.background = sum ? shade(share, truth === id) : '#eef1f4';
        button.style.color = share > 0.45 ? '#fff' : '#17202a';
        button.dataset.truth = truth;
        button.dataset.predicted = id;
        return make('td', {}, button);
      });
      body.append(make('tr', {}, make('th', { title: data.classes[truth], scope: 'row' }, data.classes[truth]), ...cells));
    });
    table.append(body);
    table.addEventListener('click', (event) => {
      const button = event.target.closest('button');
      if (!button) return;
      table.querySelectorAll('.chosen').forEach((other) => other.classList.remove('chosen'));
      button.classList.add('chosen');
      const truth = button.dataset.truth, predicted = button.dataset.predicted;
      const name = className(truth) + ' taken for ' + className(predicted);
      const right = truth === predicted;
      document.getElementById('cell-name').textContent = right ? className(truth) + ': where it is found worst' : name + ': the images with most of it';
      const entries = right ? data.galleries[truth].worst.map((number) => [number, null]) : data.cells[truth + ',' + predicted] || [];
      show(document.getElementById('cell-images'), entries.map(([number, pixels]) =>
        card(number, (pixels === null ? '' : pixels + ' pixels; ') + describe(number))));
    });
  }
  fillMatrix();

  // Labels to look at again
  const doubtful = document.getElementById('doubts');
  let shown = 0;
  const more = document.getElementById('more-doubts');
  function moreDoubts() {
    const next = data.doubts.slice(shown, shown + 6);
    doubtful.append(...next.map((entry, place) => card(entry.image,
      (shown + place + 1) + '. The label says ' + className(entry.label) + ', the network ' + className(entry.predicted) + ', on ' + percent(entry.share, 2) + ' of the image',
      [entry.box[0] / entry.size[0], entry.box[1] / entry.size[1], entry.box[2] / entry.size[0], entry.box[3] / entry.size[1]])));
    shown += next.length;
    more.hidden = shown >= data.doubts.length;
  }
  more.addEventListener('click', moreDoubts);
  moreDoubts();
  if (!data.doubts.length) doubtful.append(make('p', {}, 'There is none.'));

  ['gained', 'lost'].forEach((side) => {
    const place = document.getElementById(side);
    if (place) show(place, data.changed[side].map((number) => card(number, describe(number))));
  });
})();
