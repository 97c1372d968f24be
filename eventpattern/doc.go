// Package eventpattern matches Amazon EventBridge event patterns and applies input transformers, without AWS.
package eventpattern
