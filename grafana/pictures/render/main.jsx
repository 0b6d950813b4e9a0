// Draws one dashboard: `?dashboard=UID&prometheus=URL&to=SECONDS&var-NAME=VALUE`. Sets window.drawn when it is done.

import React, { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { EventBusSrv, ThemeContext, createTheme, getValueFormats } from '@grafana/data';
import { GlobalStyles, PanelChrome, PanelContextProvider } from '@grafana/ui';
import { MemoryRouter } from 'react-router-dom';
import { Prometheus, configured, interpolate, transformed } from './frames.js';
import { KINDS } from './panels.jsx';

const DASHBOARDS = import.meta.glob('../../dashboards/*.json', { eager: true, import: 'default' });
const [CELL, GAP] = [30, 8];
const theme = createTheme({ colors: { mode: 'dark' } });
const asked = new URLSearchParams(location.search);
const dashboard = DASHBOARDS[`../../dashboards/${asked.get('dashboard')}.json`];
const UNITS = new Set(getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => value)));
const to = Number(asked.get('to'));
const hours = Number(dashboard.time.from.match(/^now-(\d+)h$/)[1]);
const from = to - hours * 3600;
const prometheus = new Prometheus(asked.get('prometheus'), to);

async function variables() {
  const values = { __rate_interval: '8m', __range: `${hours}h` };
  for (const variable of dashboard.templating.list.filter(({ type }) => type === 'query')) {
    const given = asked.get(`var-${variable.name}`);
    const found = await prometheus.labelValues(interpolate(variable.definition, values), from);
    values[variable.name] = given ?? (variable.allValue ? '.+' : found);
    values[`all ${variable.name}`] = found;
  }
  return values;
}

/** Rows that repeat come once for each value, as they do in Grafana; `scope` is the value. */
function unrolled(values) {
  const rows = [];
  for (const panel of dashboard.panels) {
    if (panel.type === 'row' || rows.length === 0) rows.push({ head: panel.type === 'row' ? panel : null, panels: [] });
    if (panel.type !== 'row') rows.at(-1).panels.push(panel);
  }
  const placed = [];
  let below = 0;
  for (const { head, panels } of rows) {
    const height = 1 + Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h)) - (head?.gridPos.y ?? 0) - 1;
    const repeats = head?.repeat ? values[`all ${head.repeat}`] : [null];
    repeats.forEach((value, index) => {
      const scope = value === null ? values : { ...values, [head.repeat]: value };
      for (const panel of [head, ...panels].filter(Boolean)) {
        placed.push({ panel, scope, y: panel.gridPos.y + below + index * height });
      }
    });
    below += (repeats.length - 1) * height;
  }
  return placed;
}

async function loaded({ panel, scope, y }) {
  const title = interpolate(panel.title, scope);
  if (panel.type === 'row') return { panel, title, y };
  const step = 240;
  const answers = panel.targets.map((target) => prometheus.frames(target, scope, from, step, panel.targets.length > 1));
  const frames = await transformed(panel.transformations, (await Promise.all(answers)).flat());
  if (!UNITS.has(panel.fieldConfig.defaults.unit)) throw new Error(`no unit ${panel.fieldConfig.defaults.unit}`);
  return { panel, title, y, frames: configured(frames, panel.fieldConfig, theme) };
}

function Panel({ panel, title, frames, width, height }) {
  const Kind = KINDS[panel.type];
  const empty = frames.every((frame) => frame.length === 0);
  return (
    <PanelChrome title={title} width={width} height={height} padding={panel.type === 'table' ? 'none' : 'md'}>
      {(innerWidth, innerHeight) =>
        empty ? (
          <div style={{ padding: 16, textAlign: 'center', opacity: 0.7 }}>
            {panel.fieldConfig.defaults.noValue ?? 'No data'}
          </div>
        ) : (
          <Kind {...{ panel, frames, theme, from, to }} width={innerWidth} height={innerHeight} />
        )
      }
    </PanelChrome>
  );
}

function Placed({ panel, title, frames, y, column }) {
  const { x, w, h } = panel.gridPos;
  const [width, height] = [w * column - GAP, h * (CELL + GAP) - GAP];
  const style = { position: 'absolute', left: x * column, top: y * (CELL + GAP), width, height };
  if (panel.type === 'row') return <div style={{ ...style, padding: '8px 4px', fontWeight: 500 }}>⌄ {title}</div>;
  return (
    <div style={style}>
      <Panel {...{ panel, title, frames, width, height }} />
    </div>
  );
}

function Dashboard() {
  const [panels, show] = useState(null);
  useEffect(() => {
    variables()
      .then((values) => Promise.all(unrolled(values).map(loaded)))
      .then(show)
      .catch((error) => {
        window.failed = String(error.stack);
      });
  }, []);
  useEffect(() => {
    if (panels)
      setTimeout(() => {
        window.drawn = true;
      }, 1500);
  }, [panels]);
  const subject = [...asked]
    .filter(([key]) => key.startsWith('var-'))
    .map(([, value]) => value)
    .join(' / ');
  const column = (innerWidth - 2 * GAP) / 24;
  const bottom = Math.max(0, ...(panels ?? []).map(({ panel, y }) => y + panel.gridPos.h));
  return (
    <div style={{ margin: GAP }}>
      <h3 style={{ margin: '4px 4px 12px', fontSize: 20 }}>
        {dashboard.title}
        {subject && <span style={{ opacity: 0.7 }}> · {subject}</span>}
      </h3>
      <div style={{ position: 'relative', height: bottom * (CELL + GAP) }}>
        {(panels ?? []).map((placed, index) => (
          <Placed key={index} {...placed} column={column} />
        ))}
      </div>
    </div>
  );
}

document.body.style.background = theme.colors.background.canvas;
createRoot(document.getElementById('dashboard')).render(
  <MemoryRouter>
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={{ eventsScope: 'global', eventBus: new EventBusSrv() }}>
        <Dashboard />
      </PanelContextProvider>
    </ThemeContext.Provider>
  </MemoryRouter>,
);
