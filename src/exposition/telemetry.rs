//! What is counted while it happens and stands on no board: how long requests took, how late polls were, how the
//! last reload went, what the process uses.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{self, MetricFamily};
use prometheus::{Error, Gauge, Histogram, HistogramOpts, HistogramVec, IntGauge, Registry};

use super::catalogue::{Kind, Metric};
use super::series::{Bound, Float, Series};

/// From a round trip within a region to the longest timeout that makes sense, in seconds.
const DURATIONS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];
/// From on time to a minute late, in seconds.
const LATENESSES: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

const STATE_WRITE_SUCCESS: &str = "balance_exporter_state_write_success";

/// The registry and what is in it. The texts of HELP are in the catalogue.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    request_duration: HistogramVec,
    /// Of the providers that are configured: what ends after its provider has gone is counted nowhere.
    providers: Mutex<BTreeMap<String, Histogram>>,
    poll_lateness: Histogram,
    reload_successful: IntGauge,
    reload_success: Gauge,
    state_write_success: IntGauge,
    web_config_successful: IntGauge,
}

impl Telemetry {
    /// A registry in which nothing has happened yet.
    pub fn new() -> Result<Self, Error> {
        let help = "see the catalogue";
        let registry = Registry::new();
        let request_duration = HistogramVec::new(
            HistogramOpts::new("balance_provider_request_duration_seconds", help).buckets(DURATIONS.to_vec()),
            &["provider"],
        )?;
        let poll_lateness = Histogram::with_opts(
            HistogramOpts::new("balance_exporter_poll_lateness_seconds", help).buckets(LATENESSES.to_vec()),
        )?;
        let reload_successful = IntGauge::new("balance_exporter_config_last_reload_successful", help)?;
        let state_write_success = IntGauge::new(STATE_WRITE_SUCCESS, help)?;
        let reload_success = Gauge::new("balance_exporter_config_last_reload_success_timestamp_seconds", help)?;
        registry.register(Box::new(request_duration.clone()))?;
        registry.register(Box::new(poll_lateness.clone()))?;
        registry.register(Box::new(reload_successful.clone()))?;
        registry.register(Box::new(reload_success.clone()))?;
        let web_config_successful = IntGauge::new("balance_exporter_web_config_last_reload_successful", help)?;
        web_config_successful.set(1);
        registry.register(Box::new(web_config_successful.clone()))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let providers = Mutex::default();
        Ok(Self {
            registry,
            request_duration,
            providers,
            poll_lateness,
            reload_successful,
            reload_success,
            state_write_success,
            web_config_successful,
        })
    }

    /// Shows the provider from now on, before its first request.
    pub fn know_provider(&self, provider: &str) {
        let mut known = self.providers();
        if !known.contains_key(provider) {
            known.insert(provider.to_owned(), self.request_duration.with_label_values(&[provider]));
        }
    }

    /// Shows the provider no more.
    pub fn forget_provider(&self, provider: &str) {
        if self.providers().remove(provider).is_some() {
            // it was there, or somebody else removed it: either way it is gone
            let _ = self.request_duration.remove_label_values(&[provider]);
        }
    }

    /// A request to a known provider is over after this long.
    pub fn observe_request(&self, provider: &str, took: Duration) {
        if let Some(histogram) = self.providers().get(provider) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A poll began this long after it was due.
    pub fn observe_lateness(&self, late: Duration) {
        self.poll_lateness.observe(late.as_secs_f64());
    }

    /// The configuration was read at `at`, and accepted or not.
    pub fn config_reloaded(&self, accepted: bool, at: Timestamp) {
        self.reload_successful.set(i64::from(accepted));
        if accepted {
            // whole milliseconds since 1970 stay far below 2^53
            #[expect(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
            self.reload_success.set(at.as_millisecond() as f64 / 1000.0);
        }
    }

    /// The state was written, or could not be. Before the first time the metric is not there.
    pub fn state_written(&self, written: bool) {
        self.state_write_success.set(i64::from(written));
        // from the second time on it is there already
        let _ = self.registry.register(Box::new(self.state_write_success.clone()));
    }

    /// The web configuration has changed, and was accepted or not.
    pub fn web_config_read(&self, accepted: bool) {
        self.web_config_successful.set(i64::from(accepted));
    }

    /// Everything as it is now; reads the process's own figures from `/proc`.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    fn providers(&self) -> MutexGuard<'_, BTreeMap<String, Histogram>> {
        self.providers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a registry gathered for `metric`, whose labels are in `series` already.
pub(super) fn gathered(metric: &Metric, value: &proto::Metric, series: &mut Series<'_>) {
    match metric.kind {
        Kind::Gauge => series.put(&[], Float(value.get_gauge().get_value())),
        Kind::Counter => series.put(&[], Float(value.get_counter().get_value())),
        Kind::Histogram => {
            let histogram = value.get_histogram();
            for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
                let bound = Bound(bucket.upper_bound()).to_string();
                series.put_as("_bucket", &[("le", &bound)], bucket.cumulative_count());
            }
            series.put_as("_bucket", &[("le", "+Inf")], histogram.get_sample_count());
            series.put_as("_sum", &[], Float(histogram.get_sample_sum()));
            series.put_as("_count", &[], histogram.get_sample_count());
        }
        // a registry knows no such type
        Kind::Info => {}
    }
}

#[cfg(test)]
mod tests {
    use prometheus::proto::MetricType;

    use super::*;
    use crate::exposition::catalogue::{METRICS, Samples};

    #[test]
    fn the_registry_keeps_what_the_catalogue_says_it_keeps() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.know_provider("p");
        telemetry.state_written(true);
        let gathered = telemetry.gather();
        for family in &gathered {
            let metric = Metric::named(family.name()).unwrap_or_else(|| panic!("{} is not declared", family.name()));
            assert!(matches!(metric.samples, Samples::Telemetry(_)), "{}", metric.name);
            let kind = match metric.kind {
                Kind::Gauge => MetricType::GAUGE,
                Kind::Counter => MetricType::COUNTER,
                Kind::Histogram => MetricType::HISTOGRAM,
                Kind::Info => panic!("a registry knows no info metrics"),
            };
            assert_eq!(family.get_field_type(), kind, "{}", metric.name);
        }
        for metric in METRICS.iter().filter(|metric| matches!(metric.samples, Samples::Telemetry(_))) {
            assert!(gathered.iter().any(|family| family.name() == metric.name), "{} is not kept", metric.name);
        }
    }

    fn durations(telemetry: &Telemetry) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        for family in telemetry.gather() {
            if family.name() == "balance_provider_request_duration_seconds" {
                for metric in family.get_metric() {
                    found.push((metric.get_label()[0].value().to_owned(), metric.get_histogram().get_sample_count()));
                }
            }
        }
        found
    }

    #[test]
    fn a_provider_is_there_from_the_start_and_gone_at_the_end() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.know_provider("p");
        assert_eq!(durations(&telemetry), [("p".to_owned(), 0)]);
        telemetry.observe_request("p", Duration::from_millis(80));
        telemetry.know_provider("p");
        assert_eq!(durations(&telemetry), [("p".to_owned(), 1)], "known twice is known once");
        telemetry.forget_provider("p");
        telemetry.observe_request("p", Duration::from_millis(80));
        assert_eq!(durations(&telemetry), [], "a request that ends late does not bring it back");
    }

    #[test]
    fn a_refused_reload_leaves_the_time_of_the_accepted_one() {
        let telemetry = Telemetry::new().unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        for (accepted, second, shown) in [(true, 100, (1, 100.0)), (false, 200, (0, 100.0)), (true, 300, (1, 300.0))] {
            telemetry.config_reloaded(accepted, at(second));
            #[expect(clippy::float_cmp, reason = "whole seconds")]
            {
                assert!(telemetry.reload_successful.get() == shown.0 && telemetry.reload_success.get() == shown.1);
            }
        }
    }
}
