'use strict';
// Search and sorting for tables marked `data-sortable`. Without this script they are plain tables.
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
const valueOf = cell => {
  const data = cell.querySelector('data'), time = cell.querySelector('time');
  return data ? Number(data.value) : time ? Date.parse(time.dateTime) : cell.textContent.trim();
};
const isEmpty = value => value === '' || value === '–';
const compare = (a, b, sign) => {
  if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
  return sign * (typeof a === 'number' && typeof b === 'number' ? a - b : collator.compare(a, b));
};
const sortBy = (table, header) => {
  const isNumber = header.classList.contains('num') || header.classList.contains('when');
  const before = header.getAttribute('aria-sort');
  const next = before === 'descending' ? 'ascending' : before === 'ascending' || isNumber ? 'descending' : 'ascending';
  for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
  header.setAttribute('aria-sort', next);
  const sign = next === 'ascending' ? 1 : -1;
  const keyed = [...table.tBodies[0].rows].map(row => [valueOf(row.cells[header.cellIndex]), row]);
  keyed.sort((a, b) => compare(a[0], b[0], sign));
  table.tBodies[0].append(...keyed.map(pair => pair[1]));
};
const addSorting = table => {
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...header.childNodes);
    button.addEventListener('click', () => sortBy(table, header));
    header.append(button);
  }
};
const addSearch = table => {
  const label = document.createElement('label'), input = document.createElement('input');
  const status = document.createElement('span');
  label.className = 'search';
  input.type = 'search';
  status.setAttribute('role', 'status');
  label.append('Search ', input);
  const rows = [...table.tBodies[0].rows];
  const isWords = cell => !cell.classList.contains('num') && !cell.classList.contains('when');
  const texts = rows.map(row => [...row.cells].filter(isWords).map(cell => cell.textContent).join(' ').toLocaleLowerCase());
  input.addEventListener('input', () => {
    const words = input.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    rows.forEach((row, index) => {
      row.hidden = !words.every(word => texts[index].includes(word));
      found += !row.hidden;
    });
    status.textContent = words.length ? `${found} of ${rows.length}` : '';
  });
  const bar = document.createElement('div');
  bar.className = 'tools';
  bar.append(label, status);
  table.closest('.scroll').before(bar);
};
for (const table of document.querySelectorAll('table[data-sortable]')) {
  addSorting(table);
  addSearch(table);
}
// On paper nothing is collapsed.
let opened = [];
addEventListener('beforeprint', () => {
  opened = [...document.querySelectorAll('details:not([open])')];
  opened.forEach(one => { one.open = true; });
});
addEventListener('afterprint', () => opened.forEach(one => { one.open = false; }));
