"""A convolution, a maximum over windows, a bias and an activation in one product, on a CPU."""

import jax.numpy as jnp

from fcnn.ops.cpu.pooling import first_largest


def pooled_product(x, kernel, bias, *, block, window, pads, activation, precision):
    """Computes blocks of output pixels by a product, with the images side by side, as `products` does.

    The pixels of a patch are added up in the same order for every place here, too: row by row.
    """
    batch = x.shape[0]
    rows, columns, in_channels, out_channels = kernel.shape
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    height, width = x.shape[1:3]
    # Images that lie a multiple of 1 KiB apart share a few places of the cache: a row more keeps them apart.
    spare = 1 if height * width * in_channels % 256 == 0 else 0
    x = jnp.pad(x, ((0, 0), (0, spare), (0, 0), (0, 0)))
    # Turned as a matrix, so that two layers' turns meet and vanish, and a product takes up the last one.
    x = x.reshape(batch, -1).T.reshape(height + spare, width, in_channels, batch)[:height]
    blocks_h, blocks_w = (height - rows + 1) // block, (width - columns + 1) // block
    # What a block sees, in whole steps along a row.
    seen_rows, seen_steps = rows + block - 1, -(-(columns + block - 1) // block)

    x = jnp.pad(x, ((0, -height % block), (0, (blocks_w + seen_steps - 1) * block - width), (0, 0), (0, 0)))
    x = x.reshape(x.shape[0] // block, block, x.shape[1] // block, block * in_channels, batch).transpose(1, 3, 0, 2, 4)
    # First what lies below each other, then side by side: so the gradient adds up a few shifted arrays, twice.
    x = jnp.stack([x[row % block, :, row // block : row // block + blocks_h] for row in range(seen_rows)])
    x = jnp.stack([x[:, :, :, step : step + blocks_w] for step in range(seen_steps)], axis=1)
    patches = x.reshape(-1, blocks_h * blocks_w * batch)

    room_h, room_w, inner = block - 1, seen_steps * block - columns, range(block // window)
    places = [
        jnp.pad(kernel, ((i, room_h - i), (j, room_w - j), (0, 0), (0, 0)))
        for i, j in [
            (window * block_row + row, window * block_column + column)
            for row in range(window)
            for column in range(window)
            for block_row in inner
            for block_column in inner
        ]
    ]
    weights = jnp.stack(places).reshape(len(places), -1, out_channels).transpose(0, 2, 1)
    out = jnp.matmul(weights.reshape(-1, len(patches)), patches, precision=precision)

    out = out.reshape(window * window, len(inner), len(inner), out_channels, blocks_h, blocks_w, batch)
    out = activation(first_largest(out) + bias[:, None, None, None])
    out = out.transpose(3, 0, 4, 1, 2, 5).reshape(-1, batch).T
    return out.reshape(batch, blocks_h * len(inner), blocks_w * len(inner), out_channels)
