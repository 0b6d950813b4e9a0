// Each kind of panel, drawn by Grafana's own component for it.

import React from 'react';
import { VizOrientation, dateTime, getDisplayValueAlignmentFactors, getFieldDisplayValues } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

const asItIs = (text) => text;

function values({ panel, frames, theme }) {
  return getFieldDisplayValues({
    data: frames,
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: asItIs,
    theme,
    timeZone: 'utc',
  });
}

function Repeated({ width, height, panel, shown, orientation, render }) {
  return (
    <VizRepeater
      source={shown}
      getValues={() => shown}
      renderCounter={0}
      width={width}
      height={height}
      orientation={orientation}
      itemSpacing={panel.type === 'bargauge' ? 8 : 3}
      autoGrid={panel.type === 'stat'}
      minVizHeight={panel.options.minVizHeight}
      minVizWidth={panel.options.minVizWidth}
      maxVizHeight={300}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={render}
    />
  );
}

function Stat(props) {
  const { panel, theme } = props;
  const { colorMode, graphMode, justifyMode, textMode } = panel.options;
  const render = ({ value, width, height, count, alignmentFactors }) => (
    <BigValue
      value={value.display}
      text={panel.options.text}
      width={width}
      height={height}
      count={count}
      theme={theme}
      colorMode={colorMode}
      graphMode={graphMode}
      justifyMode={justifyMode}
      textMode={textMode}
      alignmentFactors={alignmentFactors}
    />
  );
  return <Repeated {...props} shown={values(props)} orientation={VizOrientation.Auto} render={render} />;
}

function Gauges(props) {
  const { panel, theme } = props;
  const { displayMode, showUnfilled, valueMode } = panel.options;
  const render = ({ value, width, height, alignmentFactors, orientation }) => (
    <BarGauge
      value={value.display}
      field={value.field}
      display={value.view?.getFieldDisplayProcessor(value.colIndex)}
      width={width}
      height={height}
      orientation={orientation}
      theme={theme}
      displayMode={displayMode}
      itemSpacing={8}
      showUnfilled={showUnfilled}
      valueDisplayMode={valueMode}
      alignmentFactors={alignmentFactors}
      lcdCellWidth={12}
    />
  );
  return <Repeated {...props} shown={values(props)} orientation={VizOrientation.Horizontal} render={render} />;
}

function Table({ panel, frames, width, height }) {
  const { sortBy, cellHeight, showHeader } = panel.options;
  return (
    <TableNG
      data={frames[0]}
      width={width}
      height={height}
      sortBy={sortBy}
      cellHeight={cellHeight}
      noHeader={!showHeader}
      fieldConfig={panel.fieldConfig}
      enableVirtualization={false}
    />
  );
}

function Lines({ panel, frames, width, height, from, to }) {
  const [start, end] = [dateTime(from * 1000), dateTime(to * 1000)];
  return (
    <TimeSeries
      frames={frames}
      width={width}
      height={height}
      timeRange={{ from: start, to: end, raw: { from: start, to: end } }}
      timeZone="utc"
      legend={panel.options.legend}
      options={panel.options}
    />
  );
}

export const KINDS = { stat: Stat, bargauge: Gauges, table: Table, timeseries: Lines };
