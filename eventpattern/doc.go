// Package eventpattern matches Amazon EventBridge event patterns against events and applies EventBridge input transformers, without
// AWS.
//
// [Parse] reads a pattern and refuses what AWS refuses, each mistake with its line and column. A [Pattern] by itself matches one event
// at a time and explains its answer ([Pattern.Explain]). A [Matcher] holds many and says which of them match an event; patterns come
// and go while others match:
//
//	var m eventpattern.Matcher
//	err := m.Add("high-cpu", pattern)
//	names, err := m.Match(names[:0], event)
//
// The answers are those of Event Ruler, the engine that AWS publishes, where it and AWS's manual disagree. The differences are listed
// in docs/event-patterns.md; the ones that meet the eye first: numbers compare by value, so that 300, 3.0e2 and 300.00 are one;
// fields of one object in a pattern must be found within one element of an array; a dot within a key is like a step into an object.
//
// # How a Matcher works
//
// A pattern is first multiplied out into rules, one for each way through its $or; a rule is a list of fields, each with alternatives.
// Every rule hangs at one of its fields, its key: the one that, going by what all patterns ask for, fewest events will hit. For each
// field there is an automaton over bytes, a radix tree with shared states, that finds for a value the rules that hang there: forward
// for strings and prefixes, backward for suffixes, over folded text for what ignores case; wildcards hang at the literal that they
// begin or end with, numbers and addresses at their binary form, and numeric ranges in an ordered list. An event is read once. What no
// pattern asks for is passed over eight bytes at a time. The rules that its values lead to are then checked in full; a hash of a second
// field refuses most of them before they are even looked at.
//
// So memory grows with the text of the patterns and nothing else (there is no product automaton that could explode), and time with the
// fields that are asked for and the rules that come near. Refused was: one determinized automaton for all values of a field, which is
// faster for a handful of wildcards, and for thirty of them no longer fits into any memory.
//
// Patterns, transformers and matchers are safe for concurrent use. Match never waits for a change, and sees all of it or nothing.
//
// Sources: "Amazon EventBridge event patterns" and "Amazon EventBridge input transformation" in the EventBridge user guide; Event
// Ruler, github.com/aws/event-ruler, for behaviour.
package eventpattern
