package dev.gpt2edge

import java.io.ByteArrayOutputStream

/**
 * The ONNX file of one ConstantOfShape node, written out by hand: "shape" (int64 [rank]) in, "zeros"
 * of a given type out. Field numbers are those of onnx.proto.
 */
internal object TinyModel {
    fun zeros(elementType: Int, bytesPerElement: Int): ByteArray {
        val zero = message {
            number(TENSOR_DIMS, 1)
            number(TENSOR_DATA_TYPE, elementType)
            bytes(TENSOR_RAW_DATA, ByteArray(bytesPerElement))
        }
        val value = message {
            text(ATTRIBUTE_NAME, "value")
            bytes(ATTRIBUTE_TENSOR, zero)
            number(ATTRIBUTE_TYPE, ATTRIBUTE_IS_TENSOR)
        }
        val node = message {
            text(NODE_INPUT, "shape")
            text(NODE_OUTPUT, "zeros")
            text(NODE_OP_TYPE, "ConstantOfShape")
            bytes(NODE_ATTRIBUTE, value)
        }
        val graph = message {
            bytes(GRAPH_NODE, node)
            text(GRAPH_NAME, "zeros")
            bytes(GRAPH_INPUT, valueInfo("shape", INT64, rank = 1))
            bytes(GRAPH_OUTPUT, valueInfo("zeros", elementType, rank = 4))
        }
        return message {
            number(MODEL_IR_VERSION, 8)
            bytes(MODEL_GRAPH, graph)
            bytes(MODEL_OPSET_IMPORT, message { number(OPSET_VERSION, 17) })
        }
    }

    private fun valueInfo(name: String, elementType: Int, rank: Int): ByteArray {
        val shape = message { repeat(rank) { bytes(SHAPE_DIM, ByteArray(0)) } } // sizes unknown
        val tensor = message {
            number(TENSOR_TYPE_ELEMENT, elementType)
            bytes(TENSOR_TYPE_SHAPE, shape)
        }
        return message {
            text(VALUE_INFO_NAME, name)
            bytes(VALUE_INFO_TYPE, message { bytes(TYPE_TENSOR, tensor) })
        }
    }

    private fun message(fields: Message.() -> Unit): ByteArray = Message().apply(fields).toByteArray()

    /** The two wire types of Protocol Buffers that are needed here. */
    private class Message : ByteArrayOutputStream() {
        fun number(field: Int, value: Int) {
            varint(field shl 3)
            varint(value)
        }

        fun bytes(field: Int, value: ByteArray) {
            varint(field shl 3 or 2)
            varint(value.size)
            write(value, 0, value.size)
        }

        fun text(field: Int, value: String) = bytes(field, value.toByteArray(Charsets.UTF_8))

        private fun varint(value: Int) {
            var rest = value
            while (rest >= 0x80) {
                write(rest and 0x7f or 0x80)
                rest = rest ushr 7
            }
            write(rest)
        }
    }

    private const val INT64 = 7

    private const val MODEL_IR_VERSION = 1
    private const val MODEL_GRAPH = 7
    private const val MODEL_OPSET_IMPORT = 8
    private const val OPSET_VERSION = 2
    private const val GRAPH_NODE = 1
    private const val GRAPH_NAME = 2
    private const val GRAPH_INPUT = 11
    private const val GRAPH_OUTPUT = 12
    private const val NODE_INPUT = 1
    private const val NODE_OUTPUT = 2
    private const val NODE_OP_TYPE = 4
    private const val NODE_ATTRIBUTE = 5
    private const val ATTRIBUTE_NAME = 1
    private const val ATTRIBUTE_TENSOR = 5
    private const val ATTRIBUTE_TYPE = 20
    private const val ATTRIBUTE_IS_TENSOR = 4
    private const val TENSOR_DIMS = 1
    private const val TENSOR_DATA_TYPE = 2
    private const val TENSOR_RAW_DATA = 9
    private const val VALUE_INFO_NAME = 1
    private const val VALUE_INFO_TYPE = 2
    private const val TYPE_TENSOR = 1
    private const val TENSOR_TYPE_ELEMENT = 1
    private const val TENSOR_TYPE_SHAPE = 2
    private const val SHAPE_DIM = 1
}
