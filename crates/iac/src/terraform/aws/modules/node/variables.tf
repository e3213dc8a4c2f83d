variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "node" {
  description = "The region's name in the app's file."
  type        = string
}

variable "region" {
  description = "AWS name of the region."
  type        = string
}

variable "network" {
  description = "Outputs of the region's network module."
  type = object({
    vpc_id            = string
    public_subnet_ids = list(string)
  })
}

variable "kms_key_arn" {
  description = "The region's key."
  type        = string
}

variable "image" {
  description = "Container image of Lifeboat."
  type        = string
}

variable "file" {
  description = "Text of the app's file."
  type        = string
}

variable "port" {
  description = "TCP port of the node's API and steering endpoints."
  type        = number
}

variable "address" {
  description = "Private address of the node, in the first public subnet; the same as in the app's file."
  type        = string
}

variable "peers" {
  description = "Address ranges of the other regions, by region."
  type        = map(string)
}

variable "certificates" {
  description = "Whether the machine waits for certificates; false: neither the node nor its state store uses any."
  type        = bool
  default     = true
}

variable "tls" {
  description = "Whether the node speaks TLS; false: the app's file says `nodes: {tls: none}`."
  type        = bool
  default     = true
}

variable "etcd" {
  description = "The region's member of the state store; null: none here."
  default     = null

  type = object({
    image       = string
    ports       = list(number)
    environment = map(string)
  })
}

variable "statements" {
  description = "IAM statements for the components that this node moves."
  type        = any
}
