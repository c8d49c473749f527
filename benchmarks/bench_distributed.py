"""What an exchange of gradients between processes costs: seconds, bytes on the wire, memory; and the model of it.

N processes, each pinned to its share of the cores, add up a buffer of the size of a network's gradients with
TensorFlow's collective ops over gRPC. They run in network namespaces of their own, whose links are shaped to a
bandwidth with tc, which takes root (without: --gbit 0). Delays are not shaped: the time of a round is what small
buffers take.

    python benchmarks/bench_distributed.py [--workers 2 4] [--gbit 0 1 10] [--megabytes 0.1 16 128 512] [--rounds 5]
                                           [--quick]

0 Gbit/s is the loopback device, unshaped. The last lines are the factors of `fcn8s.planning.workers` that fit best, and
the model's seconds in units of each row's.

    python benchmarks/bench_distributed.py --step [--workers 2] [--size 256 512] [--batch 4] [--steps 3]
                                           [--width-divisor 1] [--rounds 2] [--wire bfloat16]
                                           [--without-apart]

This measures whole steps of `FCN8s.train` instead, on this machine: one worker with all cores, N workers with a share
each, and N processes with a share each that train apart, which shows what the exchange and the waiting for each other
take. The three take turns; the fastest round of each counts; each round has a line, too.
"""

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from measuring import peak_memory

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from fcn8s.distributed.cluster import free_addresses, tf_config  # noqa: E402
from fcn8s.distributed.launching import core_shares, pin  # noqa: E402
from fcn8s.planning.workers import ExchangeFactors, exchange_seconds, wire_bytes  # noqa: E402

MEGABYTE = 10**6
LARGE = 64 * MEGABYTE
NUM_CLASSES = 20
BRIDGE = 'fcn8s-br'


def exchange(index, addresses, megabytes, rounds, device):
    """One process: prints for each buffer the median seconds of an exchange and the bytes that left this process."""
    from fcn8s.backend import tf

    config = tf.ConfigProto()
    config.experimental.collective_group_leader = '/job:worker/replica:0/task:0'
    server = tf.train.Server({'worker': addresses}, 'worker', index, config=config)
    results = []
    with tf.Graph().as_default() as graph, tf.device('/job:worker/task:{}/cpu:0'.format(index)):
        steps = [
            _reduce(tf, tf.Variable(tf.ones([int(size * MEGABYTE) // 4])), len(addresses), key)
            for key, size in enumerate(megabytes, start=1)
        ]
        initialise = tf.global_variables_initializer()
        with tf.Session(server.target, graph=graph, config=config) as session:
            session.run(initialise)
            for step in steps:
                assert session.run(step) == len(addresses)  # the sum of ones; this also warms up
                seconds, before = [], _sent(device)
                for _ in range(rounds):
                    start = time.perf_counter()
                    session.run(step)
                    seconds.append(time.perf_counter() - start)
                sent = (_sent(device) - before) / rounds
                results.append({'seconds': float(np.median(seconds)), 'sent': sent})
    print(json.dumps({'exchanges': results, 'peak_rss_gb': peak_memory()}), flush=True)
    sys.stdin.read()  # the first to finish must not end its server while others still talk to it
    os._exit(0)


def _reduce(tf, buffer, group_size, key):
    """An op that adds up the buffers of all processes and returns the first number of the sum."""
    total = tf.raw_ops.CollectiveReduce(
        input=buffer,
        group_size=group_size,
        group_key=1,
        instance_key=key,
        merge_op='Add',
        final_op='Id',
        subdiv_offsets=[0],
        communication_hint='ring',
    )
    return total[0]


def _sent(device):
    with open('/proc/net/dev', encoding='ascii') as file:
        fields = next(line for line in file if line.strip().startswith(device + ':')).split(':')[1].split()
    return int(fields[8])


@contextlib.contextmanager
def links(count, gbit):
    """Makes namespaces with shaped links; yields each process's command prefix, host and device."""
    if not gbit:
        yield [([], '127.0.0.1', 'lo')] * count
        return
    names = ['fcn8s-{}'.format(number) for number in range(count)]
    try:
        _make_links(names, gbit)
        yield [
            (['ip', 'netns', 'exec', name], '10.249.0.{}'.format(number + 1), 'f8p{}'.format(number))
            for number, name in enumerate(names)
        ]
    finally:
        for name in names:
            subprocess.run(['ip', 'netns', 'del', name], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(['ip', 'link', 'del', BRIDGE], check=False, stderr=subprocess.DEVNULL)


def _make_links(names, gbit):
    try:
        _ip('link add {} type bridge'.format(BRIDGE))
        _ip('link set {} up'.format(BRIDGE))
        for number, name in enumerate(names):
            _ip('netns add {}'.format(name))
            _ip('link add f8h{0} type veth peer name f8p{0}'.format(number))
            _ip('link set f8p{} netns {}'.format(number, name))
            _ip('link set f8h{} master {} up'.format(number, BRIDGE))
            _ip('-n {} addr add 10.249.0.{}/24 dev f8p{}'.format(name, number + 1, number))
            _ip('-n {} link set f8p{} up'.format(name, number))
            _ip('-n {} link set lo up'.format(name))
            shape = 'tc -n {} qdisc add dev f8p{} root tbf rate {}mbit burst {} latency 50ms'
            # A bucket that holds one millisecond of the link, so that the limit affects small buffers, too.
            burst = int(gbit * 1e9 / 8 * 0.001)
            subprocess.run(shape.format(name, number, int(gbit * 1000), burst).split(), check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit('links cannot be shaped here ({}): it takes root, ip and tc. Give --gbit 0.'.format(error))


def _ip(words):
    subprocess.run(['ip'] + words.split(), check=True, stderr=subprocess.PIPE)


def measure(count, gbit, megabytes, rounds):
    """Returns rows (count, gbit, bytes, seconds, sent bytes per process), and the most memory of a process."""
    with links(count, gbit) as places:
        addresses = ','.join('{}:{}'.format(host, 23900 + number) for number, (_, host, _) in enumerate(places))
        processes = []
        for number, (prefix, _, device) in enumerate(places):
            cores = ','.join(str(core) for core in core_shares(count)[number])
            child = ['--child', str(number), addresses, device, cores, '--rounds', str(rounds), '--megabytes']
            command = prefix + [sys.executable, os.path.abspath(__file__)] + child + [str(size) for size in megabytes]
            processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        try:
            found = [json.loads(process.stdout.readline().decode()) for process in processes]
        finally:
            for process in processes:
                process.stdin.close()
                process.kill()
                process.wait()
    rows = []
    for place, size in enumerate(megabytes):
        exchanges = [result['exchanges'][place] for result in found]
        # The loopback device counts the bytes of all processes together.
        sent = np.mean([entry['sent'] for entry in exchanges]) / (1 if gbit else count)
        rows.append((count, gbit, size * MEGABYTE, max(entry['seconds'] for entry in exchanges), sent))
    return rows, max(result['peak_rss_gb'] for result in found)


def fit(rows):
    """The factors that fit best, relative to the measurements.

    Bytes cost more in large buffers, which do not fit caches. So wire and handling come from large buffers, which
    gradients are, by non-negative least squares; round is what the smallest buffers take beyond that.
    """
    from scipy.optimize import nnls

    large = [row for row in rows if row[2] >= LARGE] or rows
    on_wire = [8 * wire_bytes(count, size) / (gbit * 1e9) if gbit else 0.0 for count, gbit, size, _, _ in large]
    handled = [wire_bytes(count, size) for count, _, size, _, _ in large]
    seconds = np.array([row[3] for row in large])
    terms = np.stack([on_wire, handled], axis=1) / seconds[:, np.newaxis]
    factors = ExchangeFactors(*[float(weight) for weight in nnls(terms, np.ones(len(large)))[0]], round=0.0)
    smallest = [row for row in rows if row[2] == min(size for _, _, size, _, _ in rows)]
    left = [(row[3] - model(row, factors)) / (2 * (row[0] - 1)) for row in smallest]
    return factors._replace(round=max(0.0, float(np.median(left))))


def model(row, factors):
    count, gbit, size = row[:3]
    return exchange_seconds(count, size, gbit or float('inf'), factors)


def step_child(encoder, cores, size, batch, steps, wire):
    """One process that trains: prints the seconds of a step, passed and of all CPUs, and its memory."""
    pin([int(core) for core in cores.split(',')])
    from fcn8s import FCN8s
    from fcn8s.distributed.workers import DistributedSettings

    random = np.random.RandomState(0)
    images = random.randint(256, size=[batch] + size + [3]).astype(np.uint8)
    labels = random.randint(NUM_CLASSES, size=images.shape[:3]).astype(np.uint8)
    batches = itertools.repeat((images, labels))
    settings, clocks = DistributedSettings(wire=wire), []

    def note(event):
        if event.kind == 'step':
            clocks.append((time.perf_counter(), time.process_time()))

    with FCN8s(vgg16_dir=encoder, num_classes=NUM_CLASSES, distributed=settings) as model:
        # The first step warms up. Of several workers only the first has callbacks; all take the same time.
        model.train(batches, 1, 1 + steps, lambda step: 1e-6, keep_prob=0.5, callbacks=[note])
    found = {'peak_rss_gb': peak_memory()}
    if clocks:
        found['seconds'], found['cpu'] = [(last - first) / steps for first, last in zip(clocks[0], clocks[-1])]
    print(json.dumps(found), flush=True)


def measure_step(encoder, shares, is_together, args):
    """Seconds and CPU seconds of a step, and the most memory, of processes with these shares of the cores."""
    addresses, processes = free_addresses(len(shares)), []
    for number, cores in enumerate(shares):
        environment = dict(os.environ, TF_CONFIG=tf_config(addresses, number) if is_together else '')
        child = ['--step-child', encoder, ','.join(map(str, cores)), '--size'] + [str(side) for side in args.size]
        child += ['--batch', str(args.batch), '--steps', str(args.steps), '--wire', args.wire]
        command = [sys.executable, os.path.abspath(__file__)] + child
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    found = []
    for process in processes:
        out, err = process.communicate()
        if process.returncode:
            sys.exit('a worker failed:\n{}'.format(err[-3000:]))
        found.append(json.loads(out.strip().splitlines()[-1]))
    return [max(result[name] for result in found if name in result) for name in ('seconds', 'cpu', 'peak_rss_gb')]


def measure_steps(args):
    """Prints the time of a step for one worker with all cores, for several, and for several that train apart."""
    print('{:>9} {:>8} {:>10} {:>10} {:>10} {:>9}'.format('', 'workers', 'seconds', 'CPU s', 'images/s', 'peak GB'))
    with tempfile.TemporaryDirectory() as root:
        encoder = os.path.join(root, 'encoder')
        words = "'{}', weights='random', width_divisor={}, seed=0".format(encoder, args.width_divisor)
        code = 'from fcn8s.vgg16.write import write_encoder; write_encoder({})'.format(words)
        subprocess.run(fcn8s_python(code), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for count in args.workers:
            cases = {'alone': (1, False), 'together': (count, True)}
            if not args.without_apart:
                cases['apart'] = count, False
            rounds = {name: [] for name in cases}
            for _ in range(args.rounds):
                for name, (number, is_together) in cases.items():
                    rounds[name].append(measure_step(encoder, core_shares(number), is_together, args))
                alone, together = rounds['alone'][-1][0], rounds['together'][-1][0]
                print('{} workers in this round: {:.3f} of the images/s of one, {:.3f} s a step for {:.3f} s'.format(
                    count, count * alone / together, together, alone
                ), flush=True)  # fmt: skip
            best = {name: [min(column) for column in zip(*found)] for name, found in rounds.items()}
            for name, (number, _) in cases.items():
                seconds, cpu, memory = best[name]
                pace = number * args.batch / seconds
                line = '{:>9} {:>8} {:>10.3f} {:>10.3f} {:>10.3f} {:>9.2f}'
                print(line.format(name, number, seconds, cpu, pace, memory), flush=True)
            alone, together = best['alone'][0], best['together'][0]
            print('{} workers do {:.2f} of the images/s of one'.format(count, count * alone / together))
            if 'apart' in best:
                print('exchange and waiting: {:.3f} s of a step'.format(together - best['apart'][0]))


def fcn8s_python(code):
    """The command that runs code which imports this library."""
    return [sys.executable, '-c', 'import sys; sys.path[:] = {!r}; {}'.format(sys.path, code)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--workers', type=int, nargs='+', default=[2, 4])
    parser.add_argument('--gbit', type=float, nargs='+', default=[0, 1, 10], help='of the links; 0 for no limit')
    parser.add_argument('--megabytes', type=float, nargs='+', default=[0.1, 16, 128, 512])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--quick', action='store_true', help='two processes, loopback and small buffers: that it runs')
    parser.add_argument('--child', nargs=4, help=argparse.SUPPRESS)
    parser.add_argument('--step', action='store_true', help='measure whole steps of training')
    parser.add_argument('--size', type=int, nargs=2, default=[256, 512], metavar=('H', 'W'))
    parser.add_argument('--batch', type=int, default=4, help='images of a worker in a step')
    parser.add_argument('--steps', type=int, default=3)
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--wire', choices=('float32', 'bfloat16'), default='float32', help='what gradients travel as')
    parser.add_argument('--without-apart', action='store_true', help='leave out the processes that train apart')
    parser.add_argument('--step-child', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step_child:
        step_child(*args.step_child, args.size, args.batch, args.steps, args.wire)
        return
    if args.step:
        if args.quick:
            args.workers, args.size, args.batch, args.steps, args.rounds = [2], [32, 32], 1, 1, 1
            args.width_divisor = 64
        measure_steps(args)
        return
    if args.child:
        number, addresses, device, cores = args.child
        pin([int(core) for core in cores.split(',')])
        exchange(int(number), addresses.split(','), args.megabytes, args.rounds, device)
        return
    if args.quick:
        args.workers, args.gbit, args.megabytes, args.rounds = [2], [0], [0.1, 1], 2
    print('{:>7} {:>7} {:>9} {:>11} {:>12} {:>12} {:>9}'.format(
        'workers', 'Gbit/s', 'megabytes', 'seconds', 'MB sent', '2(N-1)/N MB', 'peak GB'
    ))  # fmt: skip
    rows = []
    for count in args.workers:
        for gbit in args.gbit:
            found, memory = measure(count, gbit, args.megabytes, args.rounds)
            for _, _, size, seconds, sent in found:
                in_megabytes = [bytes_ / MEGABYTE for bytes_ in (size, sent, wire_bytes(count, size))]
                line = '{:>7} {:>7g} {:>9g} {:>11.4f} {:>12.2f} {:>12.2f} {:>9.2f}'
                print(line.format(count, gbit, in_megabytes[0], seconds, *in_megabytes[1:], memory), flush=True)
            rows += found
    factors = fit(rows)
    print('\n{}'.format(factors))
    ratios = [model(row, factors) / row[3] for row in rows]
    print('model over measured: {}'.format(' '.join('{:.2f}'.format(ratio) for ratio in ratios)))


if __name__ == '__main__':
    main()
