#!/usr/bin/env bash
# make soak: what is too slow for each change, one part after the other, each to its end whatever the one before came to, and at the
# end a summary. Status 1 when a part failed. The logs stay in bin/soak.
#
#   DAYS=20       game days of each fault; they measure this machine, which should have nothing else to do
#   FUZZTIME=6m   for each fuzz target of the tree: an hour for those of documents, expressions, paths and patterns, three in all
#   PARTS=REGEX   only the parts whose names match
set -uo pipefail
cd "$(dirname "$0")/.."
days=${DAYS:-20} fuzztime=${FUZZTIME:-6m} parts=${PARTS:-.}
go=${GO:-go}
out=bin/soak
mkdir -p "$out"
rm -f "$out"/*.log "$out/summary.txt"
failed=0

# Each fuzz target of the tree, as FOLDER:NAME.
targets=$(find . -name '*_test.go' -not -path '*/.*' -not -path '*/testdata/*' -exec grep -HoE '^func Fuzz[A-Za-z0-9_]+' {} + |
	sed -E 's|^\./(.*)/[^/]*:func (.*)|\1:\2|' | sort)
[ -n "$targets" ] || { echo "no fuzz target was found"; exit 1; }

# part NAME FACTS COMMAND...: runs a command, and notes how it came out with those lines of its log that match FACTS.
part() {
	local name=$1 facts=$2 begin=$SECONDS verdict=ok
	shift 2
	[[ $name =~ $parts ]] || return 0
	local log=$out/${name//[^A-Za-z0-9]/-}.log
	echo "== $name"
	if ! "$@" >"$log" 2>&1; then
		verdict=FAILED
		failed=1
		tail -n 30 "$log"
	fi
	{
		printf '%-28s %-7s %5d s\n' "$name" "$verdict" $((SECONDS - begin))
		grep -E -o "$facts" "$log" | tail -n 25 | sed 's/^/    /'
		[ "$verdict" = ok ] || echo "    see $log"
	} >>"$out/summary.txt"
}

for fault in Disk Memory Cpu; do
	fault_=$(echo "$fault" | tr A-Z a-z)
	part "game days: $fault_" 'day [0-9]+: .*|[0-9]+ of [0-9]+$' env HOMEOSTAT_GAMEDAYS="$days" "$go" test -count=1 -timeout 4h -run "TestGameDays/^$fault_\$" -v ./cmd/homeostat
done
part "200 executions killed" '[0-9]+ executions, .*' env HOMEOSTAT_SOAK=1 "$go" test -count=1 -timeout 2h -run 'TestCrash$' -v ./internal/runbook
part "an event 1,000 times" '^(ok|FAIL).*' "$go" test -count=1 -run 'TestEventAThousandTimes|TestFindingToldAgain' -v ./internal/runbook
part "observe changes nothing" '.*\[rapid\].*' "$go" test -count=1 -timeout 2h -run Observe -v ./internal/action -rapid.checks=20000
part "executions at random" '.*\[rapid\].*' "$go" test -count=1 -timeout 2h -run Observe -v ./automation -rapid.checks=20000
part "a kill at every write" '.*\[rapid\].*' "$go" test -count=1 -timeout 2h -run Killed -v ./automation -rapid.checks=2000
part "10 million comparisons" '^(ok|FAIL).*' env HOMEOSTAT_SOAK=1 "$go" test -count=1 -timeout 4h -run Soak -v ./eventpattern
part "detectors at length" '^(ok|FAIL).*' env HOMEOSTAT_SOAK=1 "$go" test -count=1 -timeout 2h -run 'QuietHost|QuietFrom|RestoredCheckpoint|RanksFaults' ./internal/detect
part "100 kills under load, an hour" '^(ok|FAIL).*' env HOMEOSTAT_SOAK=1 "$go" test -count=1 -timeout 6h -run 'Soak|Kill|Crash' -v ./cmd/homeostat ./internal/bus ./internal/detect
for f in $targets; do
	part "fuzz $f" 'fuzz: elapsed: .*|Failing input.*' "$go" test -run '^$' -fuzz "^${f#*:}\$" -fuzztime "$fuzztime" "./${f%%:*}"
done

# Of a fuzz target the last line says it all.
awk '/^    fuzz: /{last=$0; next} {if (last) print last; last=""; print} END{if (last) print last}' "$out/summary.txt" >"$out/summary.tmp"
mv "$out/summary.tmp" "$out/summary.txt"
echo
cat "$out/summary.txt"
exit $failed
