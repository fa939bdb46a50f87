//! Creates metric families and registers them.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// The name without prefix, the help text and the labels of a metric family.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
}

impl Family {
    fn options(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

/// Registers families in a registry. Each method fails if the name is already registered.
pub(super) struct Declare<'r>(pub(super) &'r Registry);

impl Declare<'_> {
    pub(super) fn counter(&self, family: &Family) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::with_opts(family.options())?)
    }

    pub(super) fn counters(&self, family: &Family) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(family.options(), family.labels)?)
    }

    pub(super) fn histogram(
        &self,
        family: &Family,
        buckets: &[f64],
    ) -> Result<Histogram, prometheus::Error> {
        let options = HistogramOpts::new(family.name, family.help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options)?)
    }

    pub(super) fn histograms(
        &self,
        family: &Family,
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(family.name, family.help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, family.labels)?)
    }

    pub(super) fn gauge(&self, family: &Family) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::with_opts(family.options())?)
    }

    pub(super) fn float_gauge(&self, family: &Family) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::with_opts(family.options())?)
    }

    pub(super) fn gauges(&self, family: &Family) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(family.options(), family.labels)?)
    }

    pub(super) fn float_gauges(&self, family: &Family) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(family.options(), family.labels)?)
    }

    pub(super) fn register<C: Collector + Clone + 'static>(
        &self,
        collector: C,
    ) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}
