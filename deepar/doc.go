// Package deepar forecasts many series with one model, after Amazon's DeepAR: a recurrent network that has learned from all of them
// says, step by step, from which distribution the next value is drawn. A series that it never saw, with a short history, has a
// forecast too.
//
// [Train] learns a [Model] from [Series]; [Model.Sample] draws paths that a series may take, whose quantiles are the forecast. The
// inputs of a step are the values some lags back (which carry the seasons), the place in the calendar's cycles, the series' age and
// scale, and what the series brings: categories, each with a learned embedding, and dynamic features. Values are divided by the mean
// absolute value of the window that a forecast is conditioned on. A missing value (NaN) has no share in the loss; as an input the
// last value before it stands in, and one input says so.
//
// A Model is read only and safe for concurrent use. Training and sampling are deterministic by their seeds, whatever the number of
// goroutines, for one kernel: the arithmetic runs on AVX2 and FMA where the processor has them; with HOMEOSTAT_KERNEL=go in the
// environment it is plain Go and gives the same bytes on every processor.
//
// Config's defaults are those of SageMaker's algorithm, and [ReadJSONLines] reads its data. What differs, as SageMaker doesn't publish
// its own: the lags are GluonTS's, left out where the usual series isn't twice as long; calendar features are sine and cosine,
// left out where the longest series doesn't cover two cycles; the learning rate falls over the second half of training, and the
// weights are their mean over its last quarter.
//
// Sources: "DeepAR: Probabilistic forecasting with autoregressive recurrent networks", International Journal of Forecasting 36 (2020);
// the pages on DeepAR in the SageMaker developer guide; "GluonTS: Probabilistic and Neural Time Series Modeling in Python", JMLR 21
// (2020); "Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations", ICLR 2017.
package deepar
