// Package forecast says what a series will do next, as a distribution: the methods that need no training on other series, and the
// means to judge and to combine any methods.
//
// [SeasonalNaive] repeats the last season. [Theta] is the method that won the M3 competition. [ETS] is exponential smoothing
// with its form chosen by AICc. Each is a [Model]: from the values of one series it makes quantiles for the next steps. Their
// spread is taken from errors that the method really made at that distance, or from paths simulated with its own residuals, not
// from a formula that assumes the method to be true.
//
// [Choose] takes any candidates (these, or a trained model from elsewhere), lets each forecast the end of each series from what
// went before, averages them by that loss, widens or narrows the band to what the held-out values needed, and says what it did
// and why. [Scores] are the measures by which forecasts are compared.
//
// A value that is missing is NaN: it is bridged, and never counted as an error of a method. Everything is deterministic and safe
// for concurrent use.
//
// Sources: "The theta model: a decomposition approach to forecasting", International Journal of Forecasting 16 (2000); "Forecasting
// with Exponential Smoothing: The State Space Approach", Springer 2008; "Conformal prediction" as "A Tutorial on Conformal
// Prediction", JMLR 9 (2008).
package forecast
