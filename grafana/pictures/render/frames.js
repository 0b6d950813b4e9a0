// Prometheus's answers as Grafana's data frames, with the configuration of their fields applied.
// Grafana's server does this in its data source and panels, which are not to be had as libraries.

import {
  FieldType,
  ThresholdsMode,
  getDisplayProcessor,
  getFieldDisplayName,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { firstValueFrom } from 'rxjs';

const { mergeTransformer, filterFieldsByNameTransformer, organizeFieldsTransformer } = standardTransformers;
standardTransformersRegistry.setInit(() =>
  [mergeTransformer, filterFieldsByNameTransformer, organizeFieldsTransformer].map((transformation) => ({
    id: transformation.id,
    name: transformation.id,
    transformation: async () => transformation,
  })),
);

const VARIABLE = /\$(?:(\w+)|\{(\w+)(?:[.:][\w.:]*)?\})/g;

export function interpolate(text, values) {
  return text.replace(VARIABLE, (all, one, other) => {
    const value = values[one ?? other];
    return value === undefined ? all : Array.isArray(value) ? `(${value.join('|')})` : value;
  });
}

export class Prometheus {
  constructor(url, to) {
    Object.assign(this, { url, to });
  }

  async get(path, parameters) {
    const answer = await (await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
    if (answer.status !== 'success') throw new Error(answer.error);
    return answer.data;
  }

  async labelValues(definition, from) {
    const [, match, label] = definition.match(/^label_values\((.+), (\w+)\)$/);
    return this.get(`label/${label}/values`, { 'match[]': match, start: from, end: this.to });
  }

  async frames(target, values, from, step, several) {
    const query = interpolate(target.expr, values);
    const data = target.instant
      ? await this.get('query', { query, time: this.to })
      : await this.get('query_range', { query, start: from, end: this.to, step });
    const series = data.result;
    if (target.format === 'table') return [table(series, several ? `Value #${target.refId}` : 'Value', target.refId)];
    return series.map((each) => frame(each, target, from, this.to, step));
  }
}

function frame({ metric, values, value }, target, from, to, step) {
  const known = new Map((values ?? [value]).map(([time, number]) => [time, Number(number)]));
  const times = values
    ? Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step)
    : [value[0]];
  const name = target.legendFormat.replace(/{{(\w+)}}/g, (_, label) => metric[label] ?? '');
  return {
    refId: target.refId,
    name,
    length: times.length,
    fields: [
      { name: 'Time', type: FieldType.time, config: {}, values: times.map((time) => time * 1000) },
      // a time without a value is a gap
      {
        name: 'Value',
        type: FieldType.number,
        labels: metric,
        config: { displayNameFromDS: name },
        values: times.map((time) => known.get(time) ?? null),
      },
    ],
  };
}

function table(series, valueName, refId) {
  const labels = [...new Set(series.flatMap((each) => Object.keys(each.metric)))].sort();
  const text = (label) => ({
    name: label,
    type: FieldType.string,
    config: {},
    values: series.map((each) => each.metric[label] ?? ''),
  });
  const value = {
    name: valueName,
    type: FieldType.number,
    config: {},
    values: series.map((each) => Number(each.value[1])),
  };
  return { refId, length: series.length, fields: [...labels.map(text), value] };
}

export const transformed = (steps, frames) => firstValueFrom(transformDataFrame(steps ?? [], frames));

/** Thresholds of JSON begin at null, those of the library at minus infinity. */
function thresholds(given) {
  return {
    mode: ThresholdsMode.Absolute,
    steps: given.steps.map((step) => ({ ...step, value: step.value ?? -Infinity })),
  };
}

function matches({ id, options }, name) {
  return id === 'byName' ? name === options : new RegExp(options.replace(/^\/|\/$/g, '')).test(name);
}

/** Grafana's applyFieldOverrides, without its registry of options, which is part of the server's pages. */
export function configured(frames, { defaults, overrides }, theme) {
  let seriesIndex = 0;
  return frames.map((frame) => {
    const fields = frame.fields.map((field) => {
      const displayName = getFieldDisplayName(field, frame, frames);
      const config = structuredClone({
        ...defaults,
        ...field.config,
        custom: { ...defaults.custom, ...field.config.custom },
      });
      for (const override of overrides.filter(({ matcher }) => matches(matcher, displayName))) {
        for (const { id, value } of override.properties) {
          if (id.startsWith('custom.')) config.custom[id.slice(7)] = value;
          else config[id] = value;
        }
      }
      config.thresholds = thresholds(config.thresholds);
      if (field.type === FieldType.string) config.unit = undefined;
      const made = { ...field, config, state: { displayName } };
      if (field.type === FieldType.number) made.state.seriesIndex = seriesIndex++;
      if (field.type === FieldType.time) made.config = { custom: {} };
      made.display = getDisplayProcessor({ field: made, theme, timeZone: 'utc' });
      made.getLinks = () => [];
      return made;
    });
    return { ...frame, fields };
  });
}
