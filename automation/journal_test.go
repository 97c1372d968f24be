package automation_test

import (
	"testing"

	"homeostat/automation"
	"homeostat/automation/automationtest"
)

func TestMemoryJournal(t *testing.T) {
	automationtest.Journal(t, func(*testing.T) automation.Journal { return &automation.MemoryJournal{} })
}
