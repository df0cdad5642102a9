// What every page does in the browser: times in the person's own zone, each table and chart as a file, and notices.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  document.cookie = `drillyard_zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`;

  const localise = (time) => {
    const when = new Date(time.dateTime);
    time.dataset.zone = zone;
    if (isNaN(when)) return;
    const year = when.getFullYear() === new Date().getFullYear() ? undefined : 'numeric';
    const day = when.toLocaleDateString('en-GB', {day: 'numeric', month: 'short', year});
    time.textContent = `${day} ${when.toLocaleTimeString('en-GB')}`;
    time.title = `${when.toLocaleString('en-GB', {dateStyle: 'full', timeStyle: 'long'})} (${zone})`;
  };

  const text = (element) => (element ? element.textContent.replace(/\s+/g, ' ').trim() : '');
  // No spreadsheet shall run what a model wrote as a formula, be it one that separates by semicolons.
  const cell = (value) => {
    const safe = /^[+-]?[\d.,]+(e[+-]?\d+)?( ?%)?$/i.test(value) ? value : value.replace(/(^|;)(?=[\s"]*[=+\-@\uff1d\uff0b\uff0d\uff20])/g, "$1'");
    return /[",;\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csv = (rows) => rows.map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
  const bars = (list) => [...list.querySelectorAll(':scope > .name')].map((name) => {
    const track = name.nextElementSibling;
    return {name: text(name), track, value: text(track.nextElementSibling)};
  });
  const rowsOf = (one) => {
    if (one.matches('table')) return [...one.rows].map((row) => [...row.cells].map(text));
    if (one.matches('.rates')) {
      return [['name', 'value', 'chart'], ...bars(one).map((bar) => [bar.name, bar.value, bar.track.getAttribute('aria-label') || ''])];
    }
    const points = one.dataset.points.trim().split(/\s+/).map((point) => point.split(','));
    const names = one.dataset.columns ? one.dataset.columns.split(',') : ['step', one.dataset.name, 'job'];
    return [names.slice(0, points[0].length), ...points];
  };

  const KEPT = ['fill', 'fill-opacity', 'stroke', 'stroke-width', 'stroke-linejoin', 'stroke-dasharray', 'font', 'opacity'];
  const svg = (name, facts, parent) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(facts)) element.setAttribute(key, value);
    parent?.append(element);
    return element;
  };
  const colour = (element, property) => getComputedStyle(element)[property];
  const barChart = (list) => {
    const all = bars(list), ink = colour(list, 'color');
    const root = svg('svg', {width: 640, height: 28 * all.length + 16, viewBox: `0 0 640 ${28 * all.length + 16}`});
    all.forEach((bar, place) => {
      const y = 28 * place + 12, percent = (part, side) => parseFloat(part?.style[side] || 0) * 2.4;
      const write = (x, words) => { svg('text', {x, y: y + 11, fill: ink, 'font-size': 13, 'font-family': 'sans-serif'}, root).textContent = words; };
      const [full, part, range, before] = [bar.track, ...['i', 'u', 'b'].map((name) => bar.track.querySelector(name))];
      write(8, bar.name);
      svg('rect', {x: 230, y, width: 240, height: 12, fill: colour(full, 'backgroundColor')}, root);
      if (part) svg('rect', {x: 230, y, width: percent(part, 'width'), height: 12, fill: colour(part, 'backgroundColor')}, root);
      if (range) svg('rect', {x: 230 + percent(range, 'left'), y: y + 5, width: percent(range, 'width'), height: 2, fill: ink}, root);
      if (before) svg('rect', {x: 229 + percent(before, 'left'), y: y - 2, width: 2, height: 16, fill: ink}, root);
      write(480, bar.value);
    });
    return root;
  };
  const lineChart = (chart) => {
    const copy = chart.cloneNode(true), from = [chart, ...chart.querySelectorAll('*')];
    [copy, ...copy.querySelectorAll('*')].forEach((element, place) => {
      const style = getComputedStyle(from[place]);
      element.setAttribute('style', KEPT.map((name) => `${name}:${style.getPropertyValue(name)}`).join(';'));
    });
    const {width, height} = chart.viewBox.baseVal;
    copy.setAttribute('width', 2 * width);
    copy.setAttribute('height', 2 * height);
    return copy;
  };
  const drawing = (one) => {
    const image = one.matches('.rates') ? barChart(one) : lineChart(one);
    const paper = svg('rect', {width: '100%', height: '100%', fill: colour(one.closest('.card') || document.body, 'backgroundColor')});
    image.prepend(paper);
    return new XMLSerializer().serializeToString(image);
  };
  const picture = async (source) => {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source)}`;
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), {width: 2 * image.width, height: 2 * image.height});
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, 'image/png'));
  };
  const content = async (one, form) => {
    if (form === 'csv') return new Blob(['\ufeff', csv(rowsOf(one))], {type: 'text/csv'});
    return form === 'svg' ? new Blob([drawing(one)], {type: 'image/svg+xml'}) : picture(drawing(one));
  };
  const titleOf = (one) => one.dataset.name || text(one.closest('.card, section')?.querySelector('h2, h3')) || text(document.querySelector('h1'));
  const save = async (one, form) => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await content(one, form));
    link.download = `${titleOf(one).toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 60) || 'drillyard'}.${form}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  const offer = (one) => {
    one.dataset.save = '';
    if (one.matches('.rates') ? !bars(one).length : one.matches('table') && one.rows.length < 2) return;
    const row = document.createElement('div');
    row.className = 'save';
    for (const form of one.matches('table') ? ['csv'] : ['csv', 'svg', 'png']) {
      const button = Object.assign(document.createElement('button'), {type: 'button', textContent: form.toUpperCase()});
      button.setAttribute('aria-label', `Save “${titleOf(one)}” as ${form.toUpperCase()}`);
      button.addEventListener('click', (event) => { event.stopPropagation(); save(one, form); });
      row.append(button);
    }
    (one.closest('.scroll') || one).after(row);
  };

  const look = () => {
    document.querySelectorAll('time[datetime]:not([data-zone])').forEach(localise);
    document.querySelectorAll('.dy table:not([data-save]), .dy svg.chart:not([data-save]), .dy .rates:not([data-save])').forEach(offer);
  };
  let isDue = false;
  new MutationObserver(() => {
    if (isDue) return;
    isDue = true;
    setTimeout(() => { isDue = false; look(); }, 50);
  }).observe(document, {childList: true, subtree: true});
})();

// Notices of the browser: off until a person asks for them on the page Settings, and then shown while a page is open.
(() => {
  const SINCE = 'drillyard-notices-since', SHOWN = 'drillyard-notices-shown', EVERY_MS = 15000, MOST_SHOWN = 300;
  const PAGES = {
    test_run: 'test-runs?run=', training_job: 'training-jobs?job=', loop: 'loops?loop=', shipment: 'shipments?shipment=',
    scheduled_run: 'schedules?run=', import: 'models?import=', export: 'models?export=', publication: 'models?publication=',
    dataset_import: 'datasets?import=', dataset_build: 'datasets?build=', feedback_import: 'feedback?import=',
  };
  const canTell = 'Notification' in window && window.isSecureContext;
  const isOn = () => canTell && Notification.permission === 'granted' && localStorage.getItem(SINCE) !== null;
  const show = (notice) => {
    const page = PAGES[notice.kind];
    if (!page) return;
    const title = `${notice.kind.replaceAll('_', ' ')}: ${notice.event.split('.')[1]}`;
    const shown = new Notification(title, {body: notice.sentence || notice.job_id, tag: `${notice.event}/${notice.job_id}`});
    shown.onclick = () => { window.focus(); window.location.assign(`./${page}${encodeURIComponent(notice.job_id)}`); };
  };
  const look = async () => {
    const answer = await fetch(`./api/v1/notices?since_seconds=${localStorage.getItem(SINCE)}`);
    if (!answer.ok) return;
    const {notices} = await answer.json(), before = JSON.parse(localStorage.getItem(SHOWN) || '[]'), seen = new Set(before);
    const fresh = notices.filter((one) => !seen.has(`${one.event}/${one.job_id}`)).reverse();
    fresh.forEach(show);
    if (!fresh.length) return;
    localStorage.setItem(SHOWN, JSON.stringify([...before, ...fresh.map((one) => `${one.event}/${one.job_id}`)].slice(-MOST_SHOWN)));
    localStorage.setItem(SINCE, String(Math.floor(Date.parse(notices[0].time) / 1000)));
  };
  // Of all open pages one asks.
  const turn = () => { if (isOn()) navigator.locks.request('drillyard-notices', {ifAvailable: true}, (lock) => lock && look()).catch(() => {}); };
  turn();
  setInterval(turn, EVERY_MS);

  const dress = (button) => {
    button.textContent = isOn() ? 'Tell me no more in this browser' : 'Tell me in this browser';
    button.setAttribute('aria-pressed', String(isOn()));
  };
  document.addEventListener('DOMContentLoaded', () => {
    const button = document.getElementById('browser-notices');
    if (!button || !canTell) return;
    button.hidden = false;
    document.getElementById('browser-notices-why').hidden = true;
    dress(button);
    button.addEventListener('click', async () => {
      if (isOn()) localStorage.removeItem(SINCE);
      else if (await Notification.requestPermission() === 'granted') localStorage.setItem(SINCE, String(Math.floor(Date.now() / 1000)));
      dress(button);
    });
  });
})();
