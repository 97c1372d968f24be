// Package deepar forecasts many series with one model, after Amazon's DeepAR.
package deepar
