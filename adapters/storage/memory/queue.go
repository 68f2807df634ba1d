package memory

// block is how many elements of a queue stand together in memory.
const block = 128

// queue holds values by their age. They stand in blocks, of which the one that has become
// empty is filled again: what comes and goes costs no memory.
type queue[T any] struct {
	blocks      []*[block]T
	spare       *[block]T
	first, size int // where the oldest stands in the first block, and how many there are
}

// at is the element with i older ones. It is good until it is taken out.
func (q *queue[T]) at(i int) *T {
	i += q.first
	return &q.blocks[i/block][i%block]
}

// push adds the newest element, a zero one, and gives where it stands.
func (q *queue[T]) push() *T {
	if q.first+q.size == len(q.blocks)*block {
		if q.spare == nil {
			q.spare = new([block]T)
		}
		q.blocks, q.spare = append(q.blocks, q.spare), nil
	}
	q.size++
	return q.at(q.size - 1)
}

// pop takes the newest out.
func (q *queue[T]) pop() {
	var zero T
	*q.at(q.size - 1) = zero
	q.size--
}

// drop takes the oldest out.
func (q *queue[T]) drop() {
	var zero T
	*q.at(0) = zero
	q.size--
	if q.first++; q.first == block {
		q.first, q.spare, q.blocks[0] = 0, q.blocks[0], nil
		q.blocks = q.blocks[1:]
	}
}
