// What a dashboard file of ours may hold, in the words of Grafana's own schema.
//
// tests/test_deploy.py puts the file's text behind this one and has the TypeScript compiler judge it:
// a field that Grafana does not know, or a value of the wrong type, is an error.
import type {
  AnnotationQuery,
  Dashboard,
  DataQuery,
  FieldConfigSource,
  GraphFieldConfig,
  Panel,
} from "@grafana/schema";
import type { Options as Logs } from "@grafana/schema/dist/esm/raw/composable/logs/panelcfg/x/LogsPanelCfg_types.gen";
import type { LokiDataQuery } from "@grafana/schema/dist/esm/raw/composable/loki/dataquery/x/LokiDataQuery_types.gen";
import type { Options as TimeSeries } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// JSON has an enum's values, not its names.
type Json<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Name in keyof T]: Json<T[Name]> }
      : T;

// The package has no types for Prometheus's queries; these fields are in Grafana's documentation.
type PrometheusQuery = DataQuery & {
  expr: string;
  legendFormat?: string;
  range?: boolean;
  editorMode?: "code" | "builder";
};

// The schema leaves open what belongs to a panel's plug-in, or to a data source's.
type PanelOf<Type, Options, Field> = Omit<Panel, "type" | "options" | "targets" | "fieldConfig"> & {
  type: Type;
  options: Options;
  targets: LokiDataQuery[] | PrometheusQuery[];
  fieldConfig?: Omit<FieldConfigSource, "defaults"> & {
    defaults: Omit<FieldConfigSource["defaults"], "custom"> & { custom?: Field };
  };
};

// Loki's data source reads its annotation beside the common fields, not below `target`.
type LokiAnnotation = AnnotationQuery<LokiDataQuery> & {
  expr: string;
  tagKeys?: string;
  textFormat?: string;
  titleFormat?: string;
};

type Ours = Omit<Dashboard, "panels" | "annotations"> & {
  annotations: { list: LokiAnnotation[] };
  panels: (PanelOf<"timeseries", TimeSeries, GraphFieldConfig> | PanelOf<"logs", Logs, never>)[];
};

export const dashboard: Json<Ours> =
