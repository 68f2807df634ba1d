package memory

import "testing"

func TestAQueueHoldsWhatComesByItsAge(t *testing.T) {
	t.Parallel()
	var (
		q    queue[int]
		want []int
	)
	next := 0
	push := func(n int) {
		for range n {
			next++
			*q.push() = next
			want = append(want, next)
		}
	}
	drop := func(n int) {
		for range n {
			q.drop()
		}
		want = want[n:]
	}
	pop := func(n int) {
		for range n {
			q.pop()
		}
		want = want[:len(want)-n]
	}
	for i, step := range []func(){
		func() { push(3 * block) }, func() { drop(block + 1) }, func() { pop(block) }, func() { push(2*block + 5) },
		func() { drop(len(want)) }, func() { push(1) }, func() { pop(1) }, func() { push(block) }, func() { drop(block - 1) }, func() { push(block) },
	} {
		step()
		if q.size != len(want) {
			t.Fatalf("step %d: %d are there, not %d", i, q.size, len(want))
		}
		for j, v := range want {
			if *q.at(j) != v {
				t.Fatalf("step %d: %d stands at %d, not %d", i, *q.at(j), j, v)
			}
		}
	}
	if got := *q.push(); got != 0 {
		t.Errorf("what is pushed is %d at first", got)
	}
}

func TestWhatComesAndGoesInAQueueCostsNoMemory(t *testing.T) {
	var q queue[[64]byte]
	for range 1000 {
		q.push()
	}
	if n := testing.AllocsPerRun(10, func() {
		for range 10 * block {
			q.push()
			q.drop()
		}
	}); n > 2 { // the list of the blocks itself
		t.Errorf("%v allocations", n)
	}
}
