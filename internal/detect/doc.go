// Package detect turns samples into anomalies, with the data's own time and one point after the other.
package detect
